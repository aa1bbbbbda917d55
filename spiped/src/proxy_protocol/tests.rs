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
