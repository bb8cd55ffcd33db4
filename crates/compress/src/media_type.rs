//! Which media types gain by compression.

/// Types beside `text/*`, `*+json`, `*+xml` and `*+text` that are text, or as good as.
const KNOWN: [&str; 14] = [
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/manifest",
    "application/ndjson",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
];

/// Whether a body of the type in a `Content-Type` value gets smaller. A stream of events does not count:
/// each event is small and has to leave at once.
pub fn is_compressible(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    if essence == b"text/event-stream" {
        return false;
    }
    let suffixed = [b"+json".as_slice(), b"+xml", b"+text"];
    essence.starts_with(b"text/")
        || suffixed.iter().any(|suffix| essence.ends_with(suffix))
        || KNOWN.iter().any(|known| known.as_bytes() == essence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_compressed_and_what_is_compressed_already_is_not() {
        for yes in [
            "text/html",
            "Text/HTML; charset=utf-8",
            "application/json",
            "application/problem+json ; x=y",
            "image/svg+xml",
            "application/wasm",
        ] {
            assert!(is_compressible(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "text/event-stream",
            "text/event-stream; charset=utf-8",
            "image/png",
            "application/zip",
            "application/grpc",
            "application/grpc+proto",
            "application/octet-stream",
            "video/mp4",
        ] {
            assert!(!is_compressible(no.as_bytes()), "{no}");
        }
    }
}
