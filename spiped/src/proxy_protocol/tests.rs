use super::*;

fn ends(source: &str, destination: &str) -> Option<Ends> {
    Some(Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    })
}

fn text(ends: Option<Ends>) -> String {
    String::from_utf8(header(Version::V1, ends, Some("alice"))).unwrap()
}

#[test]
fn version_1_is_a_line() {
    assert_eq!(
        text(ends("255.255.255.255:65535", "192.0.2.1:443")),
        "PROXY TCP4 255.255.255.255 192.0.2.1 65535 443\r\n"
    );
    assert_eq!(
        text(ends("[2001:db8::1]:1", "[::1]:2")),
        "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"
    );
    assert_eq!(text(None), "PROXY UNKNOWN\r\n");
}

#[test]
fn ipv4_in_ipv6_is_ipv4_unless_the_other_end_is_not() {
    assert_eq!(
        text(ends("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2")),
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
    );
    assert_eq!(
        text(ends("192.0.2.1:1", "[::1]:2")),
        "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"
    );
    assert_eq!(
        text(ends("[::1]:1", "192.0.2.1:2")),
        "PROXY TCP6 ::1 ::ffff:192.0.2.1 1 2\r\n"
    );
}

#[test]
fn version_2_is_binary_and_names_the_client() {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let of = |ends, client, rest: &[u8]| {
        let expected = [signature, rest].concat();
        assert_eq!(header(Version::V2, ends, client), expected);
    };
    let v4 = ends("192.0.2.1:258", "192.0.2.2:772");
    of(
        v4,
        None,
        b"\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x01\x02\x03\x04",
    );
    of(
        v4,
        Some("bob"),
        b"\x21\x11\0\x12\xc0\0\x02\x01\xc0\0\x02\x02\x01\x02\x03\x04\xe0\0\x03bob",
    );
    let ip = [[0; 15].as_slice(), &[1]].concat();
    let v6 = [b"\x21\x21\0\x24", &*ip, &*ip, b"\0\x01\0\x02"].concat();
    of(ends("[::1]:1", "[::1]:2"), None, &v6);
    of(None, None, b"\x20\0\0\0");
    of(None, Some("bob"), b"\x20\0\0\x06\xe0\0\x03bob");
}

#[test]
fn a_name_that_is_too_long_is_cut() {
    let header = header(Version::V2, None, Some(&"x".repeat(300)));
    assert_eq!(header[14..19], [0x01, 0x02, 0xe0, 0, 255]);
    assert_eq!(header.len(), 16 + 3 + 255);
}

/// Takes a header as it would be read, with something behind it.
fn take(mut stream: &[u8]) -> Result<(Option<Ends>, &[u8]), HeaderError> {
    let mut header = Vec::new();
    loop {
        match parse(&header)? {
            Progress::Whole(ends) => return Ok((ends, stream)),
            Progress::Missing(missing) => {
                assert!(missing > 0);
                let (more, rest) = stream.split_at_checked(missing).expect("beyond the stream");
                header.extend(more);
                stream = rest;
            }
        }
    }
}

#[test]
fn what_is_written_is_read_and_nothing_behind_it() {
    for ends in [
        ends("192.0.2.1:1", "192.0.2.2:65535"),
        ends("[2001:db8::1]:0", "[::1]:2"),
        None,
    ] {
        for version in [Version::V1, Version::V2] {
            let whole = header(version, ends, Some("alice"));
            let stream = [&whole, &b"\r\nbehind"[..]].concat();
            assert_eq!(take(&stream), Ok((ends, &b"\r\nbehind"[..])));
            for len in 0..whole.len() {
                let progress = parse(&whole[..len]);
                let Ok(Progress::Missing(missing)) = progress else {
                    panic!("{len}: {progress:?}");
                };
                assert!(missing <= whole.len() - len);
            }
        }
    }
}

#[test]
fn unknown_ends_are_taken_whatever_else_a_line_says() {
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 x y\r\n"] {
        assert_eq!(take(line.as_bytes()), Ok((None, &[][..])));
    }
    let longest = format!("PROXY UNKNOWN {:x<91}\r\n", "");
    assert_eq!(take(longest.as_bytes()), Ok((None, &[][..])));
    let longer = longest.replace("xx\r", "xxx\r");
    assert_eq!(take(longer.as_bytes()), Err(HeaderError::LongLine));
}

#[test]
fn bad_lines_are_refused() {
    for line in [
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\nsomething else",
    ] {
        assert_eq!(take(line.as_bytes()), Err(HeaderError::Line), "{line}");
    }
    for other in ["GET / HTTP/1.1\r\n", "PROXX", "\0", "\r\n\r\nQ"] {
        assert_eq!(
            parse(other.as_bytes()),
            Err(HeaderError::Missing),
            "{other}"
        );
    }
}

#[test]
fn bad_binaries_are_refused_before_they_are_read() {
    for (rest, error) in [
        (b"\x11\x11\0\x0c", HeaderError::Command),
        (b"\x22\x11\0\x0c", HeaderError::Command),
        (b"\x21\x12\0\x0c", HeaderError::Addresses),
        (b"\x21\x11\0\x0b", HeaderError::Addresses),
        (b"\x21\x21\0\x23", HeaderError::Addresses),
        (b"\x21\x31\0\xd7", HeaderError::Addresses),
        (b"\x21\x11\x08\x01", HeaderError::Length(2049)),
        (b"\x20\x00\xff\xff", HeaderError::Length(65535)),
    ] {
        let bytes = [&SIGNATURE[..], rest].concat();
        assert_eq!(parse(&bytes), Err(error));
    }
    let most = [&SIGNATURE[..], b"\x20\xff\x08\x00"].concat();
    assert_eq!(parse(&most), Ok(Progress::Missing(2048)));
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(
        start in proptest::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", &SIGNATURE]),
        rest in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
    ) {
        let bytes = [start, &rest].concat();
        if let Ok(Progress::Missing(missing)) = parse(&bytes) {
            assert!(missing > 0);
        }
    }
}
