use super::*;

fn shown(text: &str) -> Result<String, AddressError> {
    text.parse().map(|address: Address| address.to_string())
}

#[test]
fn every_form_is_parsed_and_shown_as_written() {
    for text in [
        "/run/spiped.sock",
        "localhost:80",
        "example.org:http",
        "[127.0.0.1]:80",
        "[::1]:65535",
        "1.2.3.4:80",
    ] {
        assert_eq!(shown(text).as_deref(), Ok(text));
    }
}

#[test]
fn what_is_wrong_is_said() {
    let owned = str::to_owned;
    assert_eq!(
        shown("localhost"),
        Err(AddressError::NoPort(owned("localhost")))
    );
    assert_eq!(
        shown("localhost:"),
        Err(AddressError::NoPort(owned("localhost:")))
    );
    assert_eq!(shown("[::1]"), Err(AddressError::NoPort(owned("[::1]"))));
    assert_eq!(
        shown("relative/path"),
        Err(AddressError::NoPort(owned("relative/path")))
    );
    assert_eq!(shown(""), Err(AddressError::NoPort(String::new())));
    assert_eq!(shown(":80"), Err(AddressError::NoHost(owned(":80"))));
    assert_eq!(shown("[]:80"), Err(AddressError::BadIp(String::new())));
    assert_eq!(shown("[host]:80"), Err(AddressError::BadIp(owned("host"))));
    for text in ["[::1]:", "[127.0.0.1]:", "[fe80::1%lo]:"] {
        assert_eq!(shown(text), Err(AddressError::NoPort(owned(text))));
    }
    for port in ["65536", "+1", "-1", "http", "1 "] {
        assert_eq!(
            shown(&format!("[::1]:{port}")),
            Err(AddressError::BadPort(owned(port)))
        );
    }
    assert_eq!(
        shown("localhost:65536"),
        Err(AddressError::BadPort(owned("65536")))
    );
    let long = format!("/{}", "x".repeat(MAX_UNIX_PATH));
    assert_eq!(shown(&long), Err(AddressError::LongPath(long.clone())));
    assert!(shown(&long[1..].replacen('x', "/", 1)).is_ok());
}

#[test]
fn what_is_too_long_to_be_looked_up_is_refused_in_one_short_line() {
    let name = |length| format!("{}:http", "a".repeat(length));
    assert_eq!(shown(&name(MAX_HOST)), Ok(name(MAX_HOST)));
    let zoned = format!("[fe80::1%{}]:1", "z".repeat(15));
    assert_eq!(shown(&zoned), Ok(zoned.clone()));
    let huge = "a".repeat(300_000);
    for (text, wrong) in [
        (name(MAX_HOST + 1), "is too long (1024 bytes at most)"),
        (format!("{huge}:1"), "is too long (1024 bytes at most)"),
        (format!("localhost:{huge}"), "is not a port number"),
        (format!("[::1]:{huge}"), "is not a port number"),
        (format!("[{huge}]:1"), "is not an IPv4 or IPv6 address"),
        (
            format!("[fe80::1%{huge}]:1"),
            "is not an IPv4 or IPv6 address",
        ),
        (huge.clone(), "no port in"),
        (format!(":{huge}"), "no host in"),
        (format!("/{huge}"), "is too long"),
        ("\u{e9}".repeat(300_000), "no port in"),
    ] {
        let error = shown(&text).unwrap_err().to_string();
        assert!(error.contains(wrong) && error.contains("..."), "{error}");
        assert!(error.chars().count() < 400, "{error}");
    }
}

#[test]
fn a_port_that_a_resolver_would_wrap_is_none() {
    for port in [
        "+70000",
        "+80",
        "-1",
        " 80",
        "80 ",
        "\u{664}",
        "99999999999999999999",
        "80 http",
        "http ",
    ] {
        let bad = Err(AddressError::BadPort(port.to_owned()));
        assert_eq!(shown(&format!("localhost:{port}")), bad, "{port}");
        assert_eq!(shown(&format!("[127.0.0.1]:{port}")), bad, "{port}");
    }
}

#[test]
fn a_link_local_address_needs_its_zone() {
    for text in ["[fe80::1]:80", "fe80::1:80"] {
        let no_zone = AddressError::NoZone("fe80::1".parse().unwrap());
        assert_eq!(shown(text), Err(no_zone));
    }
    assert_eq!(
        shown("[fe80::1%eth0]:80").as_deref(),
        Ok("[fe80::1%eth0]:80")
    );
    assert_eq!(shown("fe80::1%eth0:80").as_deref(), Ok("fe80::1%eth0:80"));
    for ip in [
        "fe80::1%",
        "::1%lo",
        "127.0.0.1%lo",
        "fe80::1%a b",
        "fe80::1%a\n",
    ] {
        let bad = AddressError::BadIp(ip.to_owned());
        assert_eq!(shown(&format!("[{ip}]:80")), Err(bad));
    }
}

#[tokio::test]
async fn names_and_services_are_resolved() {
    let address: Address = "localhost:0".parse().unwrap();
    let endpoints = address.resolve().await.unwrap();
    assert!(endpoints.iter().all(|endpoint| match endpoint {
        Endpoint::Tcp(address) => address.ip().is_loopback(),
        Endpoint::Unix(_) => false,
    }));
    let unknown: Address = "no-such-name.invalid:80".parse().unwrap();
    assert!(unknown.resolve().await.is_err());
}

#[tokio::test]
async fn an_unknown_service_is_told_from_an_unknown_host() {
    let there: Address = "no-such-name.invalid:http".parse().unwrap();
    assert!(there.check_service().is_ok());
    let unknown: Address = "localhost:no-such-service".parse().unwrap();
    let expected =
        "there is no service 'no-such-service' in /etc/services (write the port as a number)";
    assert_eq!(unknown.check_service().unwrap_err().to_string(), expected);
    if cfg!(target_os = "linux") {
        let error = unknown.resolve().await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
