//! The command lines of both programs.

use std::ffi::OsString;
use std::fmt::Display;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use spiped::cli::{
    Exit, PipeOptions, Pipes, SpipeOptions, SpipedCommand, SpipedOptions, Stream, parse_spipe,
    parse_spiped,
};
use spiped::config::values::Mode;
use spiped::keys::keyfile::KeySource;
use spiped::log::Destination;
use spiped_proto::{ForwardSecrecy, HandshakeConfig, Versions};

use crate::input::Input;

/// Arguments, each ended by a zero byte: options that are the same when they are spelled out, or a
/// text of which each line is what it should be.
pub fn command_line(data: &[u8]) {
    let mut input = Input::new(data);
    let is_spipe = input.byte() % 2 == 1;
    let args = input.rest().split(|byte| *byte == 0);
    let args: Vec<OsString> = args.map(|arg| OsString::from_vec(arg.to_vec())).collect();
    if is_spipe {
        match parse_spipe(args) {
            Ok(options) => assert_eq!(parse_spipe(spipe(&options).0), Ok(options)),
            Err(exit) => check(&exit, "spipe"),
        }
    } else {
        match parse_spiped(args) {
            Ok(SpipedCommand::Run(options)) => {
                let again = parse_spiped(spiped(&options).0);
                assert_eq!(again, Ok(SpipedCommand::Run(options)));
            }
            Ok(_) => {}
            Err(exit) => check(&exit, "spiped"),
        }
    }
}

fn check(exit: &Exit, program: &str) {
    assert!(exit.text.ends_with('\n'));
    let mut lines = exit.text.lines();
    let first = lines.next().unwrap();
    if exit.code == 0 {
        // Help, or the version.
        assert!(first.contains(program));
        return;
    }
    assert_eq!((exit.code, exit.stream), (1, Stream::Stderr));
    assert!(first.starts_with(program) && first.len() > program.len() + 2);
    assert!(lines.next().unwrap().starts_with("usage: "));
    let printed = exit.text.chars().filter(|c| *c != '\n');
    assert!(printed.clone().count() > 0 && !printed.into_iter().any(char::is_control));
}

/// A command line in the making.
#[derive(Default)]
struct Spelled(Vec<OsString>);

impl Spelled {
    fn flag(&mut self, name: &str, given: bool) {
        if given {
            self.0.push(format!("--{name}").into());
        }
    }

    fn option(&mut self, name: &str, value: impl Display) {
        self.0.push(format!("--{name}={value}").into());
    }

    fn key(&mut self, key: &KeySource) {
        let value = match key {
            KeySource::File(path) => path.as_os_str().as_bytes(),
            KeySource::Stdin => b"-",
        };
        self.0.push("--key".into());
        self.0.push(OsString::from_vec(value.to_vec()));
    }

    fn time(&mut self, name: &str, time: Duration) {
        self.option(
            name,
            format!("{}.{:09}", time.as_secs(), time.subsec_nanos()),
        );
    }

    fn handshake(&mut self, handshake: HandshakeConfig) {
        let forward_secrecy = handshake.forward_secrecy;
        self.flag("fast", forward_secrecy == ForwardSecrecy::Disabled);
        let required = forward_secrecy == ForwardSecrecy::Required;
        self.flag("require-forward-secrecy", required);
        if let Versions::Only(version) = handshake.versions {
            self.option("protocol", version);
        }
    }
}

fn spipe(options: &SpipeOptions) -> Spelled {
    let mut spelled = Spelled::default();
    spelled.option("target", &options.target);
    spelled.key(&options.key);
    if let Some(bind) = &options.bind {
        spelled.option("bind", bind);
    }
    spelled.handshake(options.handshake);
    spelled.flag("no-keepalive", !options.keepalive.on);
    spelled.time("timeout", options.timeout.get());
    spelled
}

fn spiped(options: &SpipedOptions) -> Spelled {
    let SpipedOptions { pipes, process } = options;
    let mut spelled = match pipes {
        Pipes::One(pipe) => one_pipe(pipe),
        Pipes::File(file) => {
            let mut spelled = Spelled::default();
            spelled.0.push("--config".into());
            spelled.0.push(file.clone().into());
            spelled
        }
    };
    spelled.flag("wait-for-dns", process.wait_for_dns);
    spelled.flag("foreground", process.foreground);
    if let Some(pidfile) = &process.pidfile {
        spelled.0.push("--pidfile".into());
        spelled.0.push(pidfile.clone().into());
    }
    match process.log {
        None => {}
        Some(Destination::Syslog) => spelled.flag("syslog", true),
        Some(format) => spelled.option("log-format", format),
    }
    spelled.option("log-level", process.log_level);
    if let Some(user) = &process.user {
        spelled.option("user", user);
    }
    if let Some(drain) = process.drain {
        spelled.time("drain", drain.get());
    }
    spelled.option("sandbox", process.sandbox);
    if let Some(metrics) = &process.metrics {
        spelled.option("metrics", metrics);
    }
    if let Some(control) = &process.control {
        spelled.0.push("--control".into());
        spelled.0.push(control.clone().into());
    }
    spelled
}

fn one_pipe(options: &PipeOptions) -> Spelled {
    let connection = &options.connection;
    let mut spelled = spipe(&SpipeOptions {
        target: options.target.clone(),
        key: options.key.clone(),
        bind: options.bind.clone(),
        handshake: connection.handshake,
        keepalive: connection.keepalive,
        timeout: connection.timeout,
    });
    spelled.flag("encrypt", options.mode == Mode::Encrypt);
    spelled.flag("decrypt", options.mode == Mode::Decrypt);
    spelled.option("source", &options.source);
    spelled.option("max-connections", connection.max_connections);
    spelled.option(
        "max-connections-per-client",
        connection.max_connections_per_client,
    );
    spelled.option("max-unproved", connection.max_unproved);
    spelled.option(
        "max-unproved-per-source",
        connection.max_unproved_per_source,
    );
    if let Some(version) = connection.proxy_protocol {
        spelled.option("proxy-protocol", version);
    }
    if let Some(networks) = &connection.accept_proxy {
        spelled.option("accept-proxy", networks);
    }
    if let Some(idle) = connection.idle.if_any() {
        spelled.time("idle", idle);
    }
    match connection.resolve_interval {
        Some(interval) => spelled.time("resolve-interval", interval),
        None => spelled.flag("no-resolve", true),
    }
    spelled
}
