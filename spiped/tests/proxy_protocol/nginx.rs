//! nginx, before an end and as the target.

use std::io::{Read, Write};
use std::process::Command;

use testbed::{Address, Mode, Program, Site, Transport, find, is_root};

use super::{behind_a_balancer, connect};

/// Of Debian's package, which a program of its own does not show.
const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// nginx in the foreground, with a section of a configuration.
fn nginx(site: &Site, modules: &str, section: &str, front: &Address) -> Program {
    let user = if is_root() { "user root;" } else { "" };
    let path = site.dir.path().display();
    let configuration = format!(
        "{modules} daemon off; master_process off; {user}
        pid {path}/nginx.pid; error_log stderr warn;
        events {{ worker_connections 50; }}
        {section}",
    );
    let file = site.dir.write("nginx.conf", configuration);
    let mut command = Command::new(find("nginx").unwrap());
    command.arg("-p").arg(site.dir.path()).arg("-c").arg(file);
    let mut nginx = Program::start(&site.dir, "nginx", command);
    nginx.listens_on(front);
    nginx
}

/// One way from here to there.
fn balancer(site: &Site, front: &Address, to: &Address) -> Program {
    let there = match to {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    let section = format!(
        "stream {{ server {{ listen {}; proxy_pass {there}; proxy_protocol on; }} }}",
        front.tcp(),
    );
    nginx(site, &format!("load_module {STREAM};"), &section, front)
}

#[test]
fn behind_nginx_its_headers_are_taken() {
    testbed::need!("nginx", STREAM);
    for transport in [Transport::V4, Transport::Unix] {
        for end in [Mode::Encrypt, Mode::Decrypt] {
            behind_a_balancer(&balancer, transport, end);
        }
    }
}

/// A web server that says in its answer what it knows from a header.
fn web_server(site: &Site, front: &Address) -> Program {
    let path = site.dir.path().display();
    let section = format!(
        "http {{
            access_log off;
            client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
            fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi;
            scgi_temp_path {path}/scgi;
            server {{
                listen {} proxy_protocol;
                location / {{
                    return 200 '$proxy_protocol_addr $proxy_protocol_port to \
                        $proxy_protocol_server_addr $proxy_protocol_server_port';
                }}
            }}
        }}",
        front.tcp(),
    );
    nginx(site, "", &section, front)
}

#[test]
fn nginx_understands_both_versions() {
    testbed::need!("nginx");
    for version in ["v1", "v2"] {
        for end in [Mode::Encrypt, Mode::Decrypt] {
            let (site, front) = (Site::new(), Address::free_v4());
            let _nginx = web_server(&site, &front);
            let ours = testbed::ours!();
            let mut far = ours.spiped(Mode::Decrypt, &site.target, &front, &site.key);
            let mut near = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
            near.args(["-b", "127.0.0.9"]);
            let telling = match end {
                Mode::Encrypt => &mut near,
                Mode::Decrypt => &mut far,
            };
            telling.args(["--proxy-protocol", version]);
            let _far = Program::serving(&site.dir, "far", far, &site.target);
            let _near = Program::serving(&site.dir, "near", near, &site.source);

            let (mut client, from) = connect(&site.source);
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            match end {
                Mode::Encrypt => {
                    let (from, to) = (from.port(), site.source.tcp().port());
                    assert_eq!(body, format!("127.0.0.1 {from} to 127.0.0.1 {to}"));
                }
                Mode::Decrypt => {
                    let to = format!(" to 127.0.0.1 {}", site.target.tcp().port());
                    assert!(
                        body.starts_with("127.0.0.9 ") && body.ends_with(&to),
                        "{body}"
                    );
                }
            }
        }
    }
}
