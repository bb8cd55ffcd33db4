//! Heads as the other side gets them, byte for byte.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, Ipv6Addr};

use roost_http1::{
    ASK_TO_CLOSE, ClientSide, FieldRule, FieldSlots, ForwardedFields, HeadScanner, HttpDate,
    Method, Origin, RequestHead, ResponseError, ResponseFraming, ResponseHead, ResponsePolicy,
    Version, add_to_head, write_https_location,
};

const ADDED: &str = "Fly-Client-IP: fdaa:0:1::5\r\nFly-Forwarded-Port: 80\r\nFly-Region: local\r\n\
    X-Forwarded-Proto: http\r\nX-Forwarded-SSL: off\r\nVia: 1.1 fly.io\r\n\r\n";

fn forwarded() -> ForwardedFields {
    let address = |last| IpAddr::V6(Ipv6Addr::new(0xfdaa, 0, 1, 0, 0, 0, 0, last));
    let (client, called) = (address(5), address(7));
    ForwardedFields::new(Origin {
        client,
        called,
        port: 80,
        region: "local",
        tls: false,
    })
}

/// The request as the Machine gets it.
fn request(head: &str) -> String {
    request_with(head, "")
}

/// The same with lines that say who calls.
fn request_with(head: &str, source: &str) -> String {
    let span = HeadScanner::default()
        .scan_request(head.as_bytes())
        .unwrap()
        .unwrap();
    let mut slots = FieldSlots::new();
    let head = RequestHead::parse(&head.as_bytes()[span.start..span.end], &mut slots).unwrap();
    let mut out = Vec::new();
    forwarded().write_request(&head, &mut out);
    let length = out.len();
    let _ = add_to_head(&mut out, length, source.as_bytes());
    String::from_utf8(out).unwrap()
}

#[test]
fn a_plain_request_gains_the_proxys_fields() {
    let sent =
        "GET /a?b HTTP/1.1\r\nAccept: */*\r\nHost: app.flycast\r\nfly-prefer-region: ams\r\n\r\n";
    let expected = format!(
        "GET /a?b HTTP/1.1\r\nHost: app.flycast\r\nAccept: */*\r\nfly-prefer-region: ams\r\n\
         X-Forwarded-For: fdaa:0:1::5, fdaa:0:1::7\r\nX-Forwarded-Port: 80\r\n{ADDED}"
    );
    assert_eq!(request(sent), expected);
}

#[test]
fn forged_and_hop_by_hop_fields_are_dropped() {
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nFly-Client-IP: 1.1.1.1\r\nfly-forwarded-port: 1\r\n\
        Fly-Region: x\r\nFly-Replay-Src: x\r\nFly-Replay-Failed: x\r\nFly-Replay-Cache-Status: hit\r\n\
        Fly-Preferred-Instance-Unavailable: x\r\nFly-Src: x\r\nFly-Src-Signature: x\r\n\
        Fly-Request-Id: x\r\nX-Forwarded-Proto: https\r\nX-Forwarded-SSL: on\r\nFly_Client_IP: 2.2.2.2\r\n\
        X_Forwarded_For: 2.2.2.2\r\nConnection: keep-alive, X-Secret\r\nConnection: TE\r\nX-Secret: s\r\n\
        Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip, trailers\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: x\r\nContent-Length: 05\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n\
        X-Forwarded-Port: 444\r\nVia: 1.1 other\r\nExpect: 100-continue\r\n\r\n";
    let expected = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 444\r\nVia: 1.1 other\r\nExpect: 100-continue\r\n\
         Content-Length: 5\r\nTE: trailers\r\nConnection: TE\r\n\
         X-Forwarded-For: 9.9.9.9, 8.8.8.8, fdaa:0:1::5, fdaa:0:1::7\r\n{ADDED}"
    );
    assert_eq!(request(sent), expected);
}

#[test]
fn who_calls_is_the_proxys_to_say() {
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nFly-Src: x\r\nfly-src-SIGNATURE: x\r\nFly_Src: x\r\n\
        FLY_SRC_SIGNATURE: x\r\nfly-src_signature: x\r\nConnection: Fly-Src, fly-src-signature\r\n\r\n";
    let plain = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n\
         X-Forwarded-For: fdaa:0:1::5, fdaa:0:1::7\r\nX-Forwarded-Port: 80\r\n{ADDED}"
    );
    assert_eq!(request(sent), plain);
    let source = "Fly-Src: instance=m\r\nFly-Src-Signature: s\r\n";
    let (fields, end) = plain.split_at(plain.len() - 2);
    assert_eq!(request_with(sent, source), format!("{fields}{source}{end}"));
}

#[test]
fn the_called_name_has_no_port_and_no_last_dot() {
    let name = |head: &str| {
        let mut slots = FieldSlots::new();
        let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
        head.called_name().map(str::to_owned)
    };
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: My.App:80\r\n\r\n", Some("My.App")),
        ("GET / HTTP/1.1\r\nHost: a.\r\n\r\n", Some("a")),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Some("[::1]")),
        ("GET http://b:1/ HTTP/1.1\r\nHost: a\r\n\r\n", Some("b")),
        ("GET / HTTP/1.0\r\n\r\n", None),
    ] {
        assert_eq!(name(head).as_deref(), expected, "{head}");
    }
}

#[test]
fn an_upgrade_keeps_its_fields() {
    let sent = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    let expected = format!(
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n\
         X-Forwarded-For: fdaa:0:1::5, fdaa:0:1::7\r\nX-Forwarded-Port: 80\r\n{ADDED}"
    );
    assert_eq!(request(sent), expected);
}

#[test]
fn offers_of_h2c_and_offers_with_a_body_are_not_passed_on() {
    for fields in [
        "Upgrade: h2c\r\n",
        "Upgrade: websocket, H2C\r\n",
        "Upgrade: websocket\r\nContent-Length: 3\r\n",
    ] {
        let sent = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n{fields}\r\n");
        assert!(
            !request(&sent).to_lowercase().contains("upgrade"),
            "{fields:?}"
        );
    }
}

#[test]
fn an_absolute_target_takes_the_place_of_host() {
    let absolute = request("GET http://real:81?q HTTP/1.1\r\nHost: other\r\n\r\n");
    assert!(
        absolute.starts_with("GET /?q HTTP/1.1\r\nHost: real:81\r\nX-"),
        "{absolute}"
    );
    let options = request("OPTIONS http://real HTTP/1.1\r\nHost: other\r\n\r\n");
    assert!(
        options.starts_with("OPTIONS * HTTP/1.1\r\nHost: real\r\nX-"),
        "{options}"
    );
}

#[test]
fn an_old_client_is_spoken_for_in_http_1_1() {
    let old = request("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    assert!(
        old.starts_with("GET / HTTP/1.1\r\nHost: [fdaa:0:1::7]\r\nX-Forwarded-For"),
        "{old}"
    );
    assert!(
        old.contains("Via: 1.0 fly.io\r\n") && !old.contains("Expect"),
        "{old}"
    );
}

#[test]
fn lines_are_added_to_the_head_and_not_to_the_body() {
    let mut out = b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody".to_vec();
    let head = out.len() - 4;
    let head = add_to_head(&mut out, head, ASK_TO_CLOSE);
    let head = add_to_head(&mut out, head, b"C: d\r\n");
    assert_eq!(
        out,
        b"GET / HTTP/1.1\r\nA: b\r\nConnection: close\r\nC: d\r\n\r\nbody"
    );
    assert_eq!(head, out.len() - 4);
    assert_eq!(add_to_head(&mut out, head - 1, ASK_TO_CLOSE), head - 1);
    assert_eq!(add_to_head(&mut Vec::new(), 5, ASK_TO_CLOSE), 5);
}

#[test]
fn https_locations_lose_the_port_of_http() {
    for (head, port, expected) in [
        (
            "GET /a?b HTTP/1.1\r\nHost: app:80\r\n\r\n",
            443,
            Some("https://app/a?b"),
        ),
        (
            "GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            8443,
            Some("https://[::1]:8443/a"),
        ),
        (
            "GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n",
            443,
            Some("https://b/?x"),
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            443,
            Some("https://a/"),
        ),
        ("GET /a HTTP/1.0\r\n\r\n", 443, None),
    ] {
        let mut slots = FieldSlots::new();
        let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
        let mut out = Vec::new();
        let found = write_https_location(&head, port, &mut out);
        assert_eq!(
            found.then(|| String::from_utf8(out).unwrap()).as_deref(),
            expected
        );
    }
}

// === responses ===

struct Asked {
    coding: Option<&'static str>,
    method: Method,
    version: Version,
    close: bool,
}

const GET: Asked = Asked {
    coding: None,
    method: Method::Get,
    version: Version::Http11,
    close: false,
};

fn respond(head: &str, asked: &Asked, policy: &ResponsePolicy) -> Result<String, ResponseError> {
    let mut scanner = HeadScanner::default();
    let span = scanner
        .scan_response(head.as_bytes())?
        .expect("a complete head");
    let mut slots = FieldSlots::new();
    let head = ResponseHead::parse(&head.as_bytes()[..span.end], &mut slots, asked.method)?;
    let mut date = HttpDate::default();
    let side = ClientSide {
        version: asked.version,
        close: asked.close,
        server: "Fly/1",
        request_id: b"ID-local",
        date: date.at(0),
        coding: asked.coding.filter(|_| head.codable(4).is_some()),
    };
    let mut out = Vec::new();
    policy.write_response(&head, &side, &mut out);
    Ok(String::from_utf8(out).unwrap())
}

const OURS: &str = "Server: Fly/1\r\nVia: 1.1 fly.io\r\nFly-Request-Id: ID-local\r\n\r\n";
const DATE: &str = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

#[test]
fn a_response_gains_the_proxys_fields() {
    let sent = "HTTP/1.1 200 OK\r\nServer: app\r\nFly-Request-Id: forged\r\nDate: yesterday\r\nContent-Length: 5\r\n\
        Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nUpgrade: h2c\r\nVia: 1.1 app\r\n\
        Content-Encoding: none\r\nfly-replay-cache: a/*\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n";
    let expected = format!(
        "HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 5\r\nVia: 1.1 app\r\n\
         Set-Cookie: a\r\nSet-Cookie: b\r\n{OURS}"
    );
    assert_eq!(
        respond(sent, &GET, &ResponsePolicy::default()),
        Ok(expected)
    );
}

/// RFC 9110, 7.7 and 8.8.1: a coded body has no length or ranges that are known, and its tag is weak.
#[test]
fn a_coded_response_tells_that_it_is() {
    let sent = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nAccept-Ranges: bytes\r\n\
        ETag: \"a\"\r\nVary: Cookie\r\nDate: d\r\n\r\n";
    let coded = Asked {
        coding: Some("br"),
        ..GET
    };
    let expected = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: W/\"a\"\r\nVary: Cookie\r\nDate: d\r\n\
         Content-Encoding: br\r\nVary: Accept-Encoding\r\nTransfer-Encoding: chunked\r\n{OURS}"
    );
    let policy = ResponsePolicy::default();
    assert_eq!(respond(sent, &coded, &policy), Ok(expected));
    for (from, to) in [
        ("200 OK", "206 OK"),
        ("200 OK", "404 OK"),
        ("200 OK", "204 OK"),
        ("Length: 5", "Length: 3"),
        ("Content-Type: text/plain", "X: y"),
        ("Accept-Ranges: bytes", "Content-Encoding: gzip"),
        ("Accept-Ranges: bytes", "Content-Encoding: none"),
        ("Accept-Ranges: bytes", "Content-Range: bytes 0-4/5"),
        (
            "Accept-Ranges: bytes",
            "Cache-Control: public, No-Transform",
        ),
        ("Accept-Ranges: bytes", "Content-Type: text/html"),
    ] {
        let plain = respond(&sent.replace(from, to), &coded, &policy).unwrap();
        assert!(!plain.contains("br\r\n"), "{from} -> {to}: {plain}");
    }
    let head = Asked {
        method: Method::Head,
        ..coded
    };
    assert!(!respond(sent, &head, &policy).unwrap().contains("chunked"));
}

#[test]
fn pristine_and_the_apps_rules_are_kept() {
    let pristine = ResponsePolicy {
        pristine: true,
        rules: Vec::new(),
    };
    let sent = "HTTP/1.1 200 OK\r\nServer: app\r\nDate: d\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(respond(sent, &GET, &pristine).as_deref(), Ok(sent));
    let rule = |name, values: &[&str]| {
        FieldRule::new(
            name,
            values.iter().map(|value| (*value).to_owned()).collect(),
        )
        .unwrap()
    };
    let rules = vec![
        rule("server", &[]),
        rule("X-A", &["1"]),
        rule("X-B", &["1", "2"]),
        rule("Via", &["me"]),
    ];
    let policy = ResponsePolicy {
        pristine: false,
        rules,
    };
    let sent = "HTTP/1.1 200 OK\r\nServer: app\r\nx-a: 0\r\nDate: d\r\nContent-Length: 0\r\n\r\n";
    let expected = "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 0\r\nFly-Request-Id: ID-local\r\n\
        X-A: 1\r\nX-B: 1\r\nX-B: 2\r\nVia: me\r\n\r\n";
    assert_eq!(respond(sent, &GET, &policy).as_deref(), Ok(expected));
}

#[test]
fn rules_cannot_break_the_message() {
    for (name, value) in [
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("X A", "1"),
        ("", "1"),
        ("X", "a\r\nSet-Cookie: b"),
        ("X", "a\nb"),
    ] {
        assert_eq!(
            FieldRule::new(name, vec![value.to_owned()]),
            None,
            "{name}: {value:?}"
        );
    }
}

#[test]
fn bodies_are_framed_for_the_client_at_hand() {
    let old = Asked {
        version: Version::Http10,
        close: true,
        ..GET
    };
    let head = Asked {
        method: Method::Head,
        ..GET
    };
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let not_modified = "HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n";
    let no_content = "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n";
    for (sent, asked, framing) in [
        (chunked, &GET, "Transfer-Encoding: chunked\r\n"),
        (chunked, &old, "Connection: close\r\n"),
        (chunked, &head, ""),
        (until_close, &GET, "Transfer-Encoding: chunked\r\n"),
        (until_close, &old, "Connection: close\r\n"),
        (length, &GET, "Content-Length: 5\r\n"),
        (length, &head, "Content-Length: 5\r\n"),
        (
            length,
            &Asked {
                version: Version::Http10,
                ..GET
            },
            "Content-Length: 5\r\nConnection: keep-alive\r\n",
        ),
        (not_modified, &GET, "Content-Length: 5\r\n"),
        (no_content, &GET, ""),
    ] {
        let line = sent.split("\r\n").next().unwrap();
        let expected = format!("{line}\r\n{framing}{DATE}{OURS}");
        assert_eq!(
            respond(sent, asked, &ResponsePolicy::default()),
            Ok(expected),
            "{sent:?}"
        );
    }
}

#[test]
fn interim_and_switching_responses_pass_bare() {
    let policy = ResponsePolicy::default();
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(respond(hints, &GET, &policy).as_deref(), Ok(hints));
    let switching = "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let expected =
        format!("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{DATE}{OURS}");
    assert_eq!(respond(switching, &GET, &policy), Ok(expected));
}

/// An empty value is no hop, and adds none.
#[test]
fn an_empty_list_of_hops_is_none() {
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For:\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n";
    let hops = "\r\nX-Forwarded-For: 1.1.1.1, fdaa:0:1::5, fdaa:0:1::7\r\n";
    assert!(request(sent).contains(hops));
}

/// A client of HTTP/1.0 has to ask for more requests, and `close` counts for more than that.
#[test]
fn who_wants_more_requests() {
    for (version, option, more) in [
        ("1.0", "", false),
        ("1.0", "keep-alive", true),
        ("1.0", "keep-alive, close", false),
        ("1.1", "", true),
        ("1.1", "close", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {option}\r\n\r\n");
        let mut slots = FieldSlots::new();
        let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
        assert_eq!(head.facts.keep_alive, more, "{version} {option}");
    }
}

/// Going over to HTTP/2 is asked for in full, and not with a body.
#[test]
fn when_h2c_is_asked_for() {
    let settings = "HTTP2-Settings: AAMAAABk\r\n";
    let fine = format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}");
    let asks = |fields: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut slots = FieldSlots::new();
        let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
        head.asks_for_h2c()
    };
    assert!(asks(&fine));
    for other in [
        fine.replace(", HTTP2-Settings", ""),
        fine.replace("Upgrade, ", ""),
        fine.replace("h2c", "h2"),
        fine.replace(settings, ""),
        fine.replace(settings, &settings.repeat(2)),
        format!("{fine}Content-Length: 1\r\n"),
        format!("{fine}Transfer-Encoding: chunked\r\n"),
    ] {
        assert!(!asks(&other), "{other}");
    }
}

/// Twelve fields may be listed in `Connection`, and none of them passes; a head that lists more is refused.
#[test]
fn few_fields_are_listed() {
    let names = |count: usize| {
        (0..count)
            .map(|at| format!("X-{at}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let lines = |count| {
        format!(
            "Connection: close\r\nconnection: Keep-Alive, {}\r\nX-11: a\r\n\r\n",
            names(count)
        )
    };
    assert!(!request(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}", lines(12))).contains("X-11"));
    let answer = |count| {
        respond(
            &format!("HTTP/1.1 200 OK\r\n{}", lines(count)),
            &GET,
            &ResponsePolicy::default(),
        )
    };
    assert!(answer(12).is_ok_and(|answer| !answer.contains("X-11")));
    assert!(answer(13).is_err());
    let mut slots = FieldSlots::new();
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", lines(13));
    assert!(RequestHead::parse(many.as_bytes(), &mut slots).is_err());
}

#[test]
fn responses_that_could_be_read_in_two_ways_are_refused() {
    for sent in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 101 Go\r\n\r\n",
        "200 OK\r\n\r\n",
    ] {
        assert!(
            respond(sent, &GET, &ResponsePolicy::default()).is_err(),
            "{sent:?}"
        );
    }
}

#[test]
fn what_the_app_means_by_its_head_is_told() {
    let parse = |head: &'static str| {
        let mut slots = FieldSlots::new();
        let head = ResponseHead::parse(head.as_bytes(), &mut slots, Method::Get).unwrap();
        (head.framing, head.keep_alive, head.replay)
    };
    let none = ResponseFraming::None;
    assert_eq!(
        parse("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"),
        (none, true, false)
    );
    assert_eq!(
        parse("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n"),
        (none, false, false)
    );
    assert_eq!(parse("HTTP/1.0 304 Same\r\n\r\n"), (none, false, false));
    assert_eq!(
        parse("HTTP/1.1 304 Same\r\nConnection: Close\r\n\r\n"),
        (none, false, false)
    );
    assert_eq!(
        parse("HTTP/1.1 204 No\r\nFly-Replay: app=x\r\n\r\n"),
        (none, true, true)
    );
    let json = "HTTP/1.1 204 No\r\nContent-Type: application/vnd.fly.replay+json; x\r\n\r\n";
    assert_eq!(parse(json), (none, true, true));
}
