use super::*;

fn pair(source: &str, destination: &str) -> Option<AddressPair> {
    Some(AddressPair {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    })
}

fn text(pair: Option<AddressPair>) -> String {
    String::from_utf8(header(ProxyVersion::V1, pair, Some("alice"))).unwrap()
}

#[test]
fn version_1_is_a_line() {
    assert_eq!(
        text(pair("255.255.255.255:65535", "192.0.2.1:443")),
        "PROXY TCP4 255.255.255.255 192.0.2.1 65535 443\r\n"
    );
    assert_eq!(
        text(pair("[2001:db8::1]:1", "[::1]:2")),
        "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"
    );
    assert_eq!(text(None), "PROXY UNKNOWN\r\n");
}

#[test]
fn ipv4_in_ipv6_is_ipv4_unless_the_other_end_is_not() {
    assert_eq!(
        text(pair("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2")),
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
    );
    assert_eq!(
        text(pair("192.0.2.1:1", "[::1]:2")),
        "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"
    );
    assert_eq!(
        text(pair("[::1]:1", "192.0.2.1:2")),
        "PROXY TCP6 ::1 ::ffff:192.0.2.1 1 2\r\n"
    );
}

#[test]
fn version_2_is_binary_and_names_the_client() {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let of = |pair, client, rest: &[u8]| {
        let expected = [signature, rest].concat();
        assert_eq!(header(ProxyVersion::V2, pair, client), expected);
    };
    let v4 = pair("192.0.2.1:258", "192.0.2.2:772");
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
    of(pair("[::1]:1", "[::1]:2"), None, &v6);
    of(None, None, b"\x20\0\0\0");
    of(None, Some("bob"), b"\x20\0\0\x06\xe0\0\x03bob");
}

#[test]
fn a_name_that_is_too_long_is_cut() {
    let header = header(ProxyVersion::V2, None, Some(&"x".repeat(300)));
    assert_eq!(header[14..19], [0x01, 0x02, 0xe0, 0, 255]);
    assert_eq!(header.len(), 16 + 3 + 255);
}

/// Parses a header in the pieces in which a connection reads it. Returns the bytes behind it too.
fn take(mut stream: &[u8]) -> Result<(Option<AddressPair>, &[u8]), HeaderError> {
    let mut header = Vec::new();
    loop {
        match parse(&header)? {
            Progress::Whole(pair) => return Ok((pair, stream)),
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
    for pair in [
        pair("192.0.2.1:1", "192.0.2.2:65535"),
        pair("[2001:db8::1]:0", "[::1]:2"),
        None,
    ] {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let whole = header(version, pair, Some("alice"));
            let stream = [&whole, &b"\r\nbehind"[..]].concat();
            assert_eq!(take(&stream), Ok((pair, &b"\r\nbehind"[..])));
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
        (b"\x2f\x11\0\x0c", HeaderError::Command),
        (b"\x30\x00\0\0", HeaderError::Command),
        (b"\x21\x13\0\x0c", HeaderError::Addresses),
        (b"\x21\x03\0\x0c", HeaderError::Addresses),
        (b"\x21\x40\0\x0c", HeaderError::Addresses),
        (b"\x21\x41\0\xff", HeaderError::Addresses),
        (b"\x21\x11\0\x0b", HeaderError::Addresses),
        (b"\x21\x12\0\x0b", HeaderError::Addresses),
        (b"\x21\x21\0\x23", HeaderError::Addresses),
        (b"\x21\x31\0\xd7", HeaderError::Addresses),
        (b"\x21\x32\0\xd7", HeaderError::Addresses),
        (b"\x21\x11\x0f\xf1", HeaderError::Length(4081)),
        (b"\x20\x00\xff\xff", HeaderError::Length(65535)),
    ] {
        let bytes = [&SIGNATURE[..], rest].concat();
        assert_eq!(parse(&bytes), Err(error));
    }
    let most = [&SIGNATURE[..], b"\x20\xff\x0f\xf0"].concat();
    assert_eq!(parse(&most), Ok(Progress::Missing(4080)));
}

/// Parses a header of version 2 that has `rest` after its length, with more bytes behind it.
fn take_binary(start: [u8; 2], rest: &[u8]) -> Result<Option<AddressPair>, HeaderError> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let stream = [&SIGNATURE[..], &start, &length, rest, b"behind"].concat();
    take(&stream).map(|(pair, behind)| {
        assert_eq!(behind, b"behind");
        pair
    })
}

#[test]
fn addresses_of_no_stream_over_tcp_count_for_nothing() {
    for command in [LOCAL, PROXY] {
        for family in [0x00, 0x01, 0x02, 0x10, 0x20, 0x30] {
            for rest in [&[][..], &[0xff; 7], &[0; 216]] {
                assert_eq!(take_binary([command, family], rest), Ok(None));
            }
        }
        for family in [0x12, 0x22, 0x31, 0x32] {
            assert_eq!(take_binary([command, family], &[0; 216]), Ok(None));
        }
    }
    // This holds for any content.
    for family in [TCP_OVER_IPV4, TCP_OVER_IPV6, 0x31, 0x44, 0xff] {
        for rest in [&[][..], &[0xff; 12], &[0xff; 500]] {
            assert_eq!(take_binary([LOCAL, family], rest), Ok(None));
        }
    }
}

const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2];

fn take_fields(fields: &[u8]) -> Result<Option<AddressPair>, HeaderError> {
    let rest = [&ADDRESSES[..], fields].concat();
    take_binary([PROXY, TCP_OVER_IPV4], &rest)
}

#[test]
fn fields_are_skipped_and_have_to_end_with_the_header() {
    let v4 = pair("192.0.2.1:1", "192.0.2.2:2");
    let longest = [&b"\x04\x0f\xe1"[..], &[7; 4065]].concat();
    for fields in [
        &b""[..],
        b"\x04\0\0",
        b"\x04\0\x01x\x05\0\0\xe0\0\x03bob",
        b"\x20\0\x05\x01\0\0\0\0\xff\0\0",
        &longest,
    ] {
        assert_eq!(take_fields(fields), Ok(v4), "{fields:?}");
    }
    for fields in [
        &b"\0"[..],
        b"\x04\0",
        b"\x04\0\x01",
        b"\x04\0\0\x04",
        b"\x04\xff\xffx",
        b"\x03\0\0",
        b"\x03\0\x03abc",
        b"\x03\0\x05abcde",
        b"\x03\0\x04abcd\x03\0\x04abcd",
    ] {
        assert_eq!(take_fields(fields), Err(HeaderError::Fields), "{fields:?}");
    }
    let ipv6 = [&[0; 36][..], b"\x04"].concat();
    let unix = [&[0; 216][..], b"\x04"].concat();
    for (family, rest) in [(TCP_OVER_IPV6, ipv6), (0x31, unix)] {
        let taken = take_binary([PROXY, family], &rest);
        assert_eq!(taken, Err(HeaderError::Fields));
    }
}

/// The header that haproxy 2.6 sends for a client with `send-proxy-v2 proxy-v2-options crc32c`.
const WITH_CHECKSUM: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\
    \x7f\0\0\x01\x7f\0\0\x01\xe3\xd4\x9c\x23\x03\0\x04\xa9\xc7\x44\x3e";
/// The header that haproxy 2.6 sends with the same options when it checks health.
const LOCAL_WITH_CHECKSUM: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\x07\x03\0\x04\xa9\xb8\x7e\x8f";

#[test]
fn a_checksum_has_to_be_right() {
    let client = pair("127.0.0.1:58324", "127.0.0.1:39971");
    for (header, taken) in [(WITH_CHECKSUM, client), (LOCAL_WITH_CHECKSUM, None)] {
        assert_eq!(parse(header), Ok(Progress::Whole(taken)));
        let beyond = [header, b"x"].concat();
        assert_eq!(parse(&beyond), Err(HeaderError::Addresses));
    }
    // The field's type and length are left alone, as with others there is no checksum.
    let (fixed, field) = (16, WITH_CHECKSUM.len() - 7);
    for at in (fixed..field).chain(field + 3..field + 7) {
        for bit in 0..8 {
            let mut wrong = WITH_CHECKSUM.to_vec();
            wrong[at] ^= 1 << bit;
            assert_eq!(parse(&wrong), Err(HeaderError::Checksum), "{at} {bit}");
            wrong.push(0);
            assert_eq!(parse(&wrong), Err(HeaderError::Checksum));
        }
    }
    let mut wrong = LOCAL_WITH_CHECKSUM.to_vec();
    wrong[20] ^= 1;
    assert_eq!(parse(&wrong), Err(HeaderError::Checksum));
}

#[test]
fn a_checksum_counts_wherever_it_is_among_the_fields() {
    let taken = |checksum: [u8; 4]| {
        let fields = [&b"\x04\0\x01x\x03\0\x04"[..], &checksum, b"\xe0\0\x03bob"].concat();
        take_fields(&fields)
    };
    assert_eq!(taken([0; 4]), Err(HeaderError::Checksum));
    let whole = [
        &SIGNATURE[..],
        b"\x21\x11\0\x1d",
        &ADDRESSES,
        b"\x04\0\x01x\x03\0\x04\0\0\0\0\xe0\0\x03bob",
    ];
    let right = crc32c::crc32c(&whole).to_be_bytes();
    assert_eq!(taken(right), Ok(pair("192.0.2.1:1", "192.0.2.2:2")));
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
