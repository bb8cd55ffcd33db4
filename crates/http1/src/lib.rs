//! HTTP/1.1 without sockets: strict parsing, message framing, and the header policy of Roost's `http` handler.
//!
//! Everything here is a function of bytes. It reads no socket, clock or random source; the time, the
//! request id and the addresses are arguments. Its counterpart, which moves the bytes, is the module
//! `http` of `roost-proxy`.
//!
//! A proxy is safe from request smuggling when it never forwards a message that the next reader could
//! delimit in another way. So what RFC 9112 calls an error is an error here, also where it allows a
//! lenient reading; the head that goes on is written anew from its parsed parts; and fields that frame
//! a message are always our own.
//!
//! The way of a request: [`HeadScanner`] finds the end of the head, [`RequestHead::parse`] reads it,
//! [`ForwardedFields::write_request`] writes the head for the Machine, [`ChunkedScanner`] or a counter
//! follows the body. The way back: [`ResponseHead::parse`] and [`ResponsePolicy::write_response`].

mod chunked;
mod connection;
mod date;
mod error;
mod fields;
mod finished;
mod forwarded;
mod framing;
mod h2c;
mod host;
mod method;
mod name;
mod redirect;
mod reply;
mod request;
mod request_id;
mod response;
mod response_policy;
mod scan;
mod target;
mod trailers;

pub use chunked::{ChunkedScanner, Progress, write_chunk};
pub use date::{DATE_LEN, HttpDate};
pub use error::{ChunkError, RequestError, ResponseError};
pub use fields::{FieldSlots, MAX_FIELDS};
pub use finished::{FinishedHead, HeadChange, HeadEdit, HeadTooLarge};
pub use forwarded::{ASK_TO_CLOSE, ForwardedFields, Origin, add_to_head, take_from_head};
pub use framing::{RequestFraming, ResponseFraming, Version};
pub use method::Method;
pub use redirect::write_https_location;
pub use reply::Reply;
pub use request::{RequestFacts, RequestHead, is_grpc};
pub use request_id::{REQUEST_ID_LEN, RequestIds};
pub use response::ResponseHead;
pub use response_policy::{ClientSide, FieldRule, ResponsePolicy};
pub use scan::{HeadScanner, HeadSpan, MAX_FIRST_LINE, MAX_HEAD};
pub use trailers::{parse_trailers, write_trailers};
