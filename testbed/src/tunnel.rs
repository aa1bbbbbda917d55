//! Two ends and a service behind them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{
    Address, Attack, Duplex, Fault, Listener, Maker, Mode, Program, Proxy, Receiver, Sender,
    TempDir, Transport, Way,
};

/// What a tunnel is to be made of.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    client: &'a Maker,
    server: &'a Maker,
    with_spipe: bool,
    transport: Transport,
    client_args: Vec<String>,
    server_args: Vec<String>,
    client_key: Vec<u8>,
    server_key: Vec<u8>,
    client_in: Vec<String>,
    server_in: Vec<String>,
    target: Option<Address>,
    attacks: Option<Vec<Attack>>,
}

impl<'a> Plan<'a> {
    /// `spiped -e` of one maker and `spiped -d` of another, over TCP, with the
    /// same key and no further option, to a service that the test plays.
    pub fn new(client: &'a Maker, server: &'a Maker) -> Self {
        let key = b"the key that both ends hold".to_vec();
        Self {
            client,
            server,
            with_spipe: false,
            transport: Transport::V4,
            client_args: Vec::new(),
            server_args: Vec::new(),
            client_key: key.clone(),
            server_key: key,
            client_in: Vec::new(),
            server_in: Vec::new(),
            target: None,
            attacks: None,
        }
    }

    /// Whether both ends are of one maker, and so speak the newest version of the protocol.
    #[must_use]
    pub fn is_of_one_maker(&self) -> bool {
        self.client == self.server
    }

    /// Puts `spipe` in the place of `spiped -e`.
    pub fn with_spipe(mut self) -> Self {
        self.with_spipe = true;
        self
    }

    /// What all hops go over.
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Further arguments of the encrypting end.
    pub fn client_args(mut self, args: &[&str]) -> Self {
        self.client_args = args.iter().map(|&a| a.to_owned()).collect();
        self
    }

    /// Further arguments of the decrypting end.
    pub fn server_args(mut self, args: &[&str]) -> Self {
        self.server_args = args.iter().map(|&a| a.to_owned()).collect();
        self
    }

    /// The bytes of the encrypting end's key file.
    pub fn client_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.client_key = key.into();
        self
    }

    /// The bytes of the decrypting end's key file.
    pub fn server_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.server_key = key.into();
        self
    }

    /// A command that starts the encrypting daemon, which it has for its last
    /// arguments; it must become that daemon.
    pub fn client_in(mut self, command: &[&str]) -> Self {
        self.client_in = command.iter().map(|&a| a.to_owned()).collect();
        self
    }

    /// The same for the decrypting daemon.
    pub fn server_in(mut self, command: &[&str]) -> Self {
        self.server_in = command.iter().map(|&a| a.to_owned()).collect();
        self
    }

    /// Leads to a service that somebody else plays.
    pub fn to(mut self, target: &Address) -> Self {
        self.target = Some(target.clone());
        self
    }

    /// Puts an attacker between the two ends.
    pub fn tampered(self, way: Way, at: u64, fault: Fault) -> Self {
        self.tampered_in_turn(way, &[at], &fault)
    }

    /// Puts an attacker between the two ends, who tampers with each connection
    /// at the next of these places.
    pub fn tampered_in_turn(mut self, way: Way, places: &[u64], fault: &Fault) -> Self {
        let attacks = places.iter().map(|&at| Attack {
            way,
            at,
            fault: fault.clone(),
        });
        self.attacks = Some(attacks.collect());
        self
    }

    /// Puts somebody between the two ends who only listens until told otherwise, by
    /// [`Tunnel::attacker`].
    pub fn overheard(mut self) -> Self {
        self.attacks = Some(Vec::new());
        self
    }

    /// Starts it and waits until it is up.
    #[track_caller]
    pub fn start(self) -> Tunnel {
        let dir = TempDir::new();
        let client_key = dir.write("client.key", &self.client_key);
        let server_key = dir.write("server.key", &self.server_key);
        let listener = Listener::bind(self.transport, &dir);
        let target = self.target.as_ref().unwrap_or(listener.address());

        let server_source = Address::free(self.transport, &dir, "middle");
        let mut command = self
            .server
            .spiped(Mode::Decrypt, &server_source, target, &server_key);
        command.args(&self.server_args);
        let command = inside(&self.server_in, command);
        let server = Program::serving(&dir, "server", command, &server_source);

        let proxy = self
            .attacks
            .map(|attacks| Proxy::start(&dir, server_source.clone(), attacks));
        let middle = proxy
            .as_ref()
            .map_or(&server_source, Proxy::address)
            .clone();

        let entry = if self.with_spipe {
            Entry::Spipe {
                maker: self.client.clone(),
                middle,
                key: client_key,
                args: self.client_args,
            }
        } else {
            let source = Address::free(self.transport, &dir, "source");
            let mut command = self
                .client
                .spiped(Mode::Encrypt, &source, &middle, &client_key);
            command.args(&self.client_args);
            let command = inside(&self.client_in, command);
            let program = Program::serving(&dir, "client", command, &source);
            Entry::Spiped { program, source }
        };
        Tunnel {
            entry,
            server,
            middle: server_source,
            listener,
            proxy,
            dir,
        }
    }
}

fn inside(outer: &[String], command: Command) -> Command {
    let [program, args @ ..] = outer else {
        return command;
    };
    let mut outer = Command::new(program);
    outer
        .args(args)
        .arg(command.get_program())
        .args(command.get_args());
    outer
}

/// A running tunnel. Its programs end with it.
#[derive(Debug)]
pub struct Tunnel {
    entry: Entry,
    server: Program,
    middle: Address,
    listener: Listener,
    proxy: Option<Proxy>,
    dir: TempDir,
}

#[derive(Debug)]
enum Entry {
    Spiped {
        program: Program,
        source: Address,
    },
    Spipe {
        maker: Maker,
        middle: Address,
        key: PathBuf,
        args: Vec<String>,
    },
}

/// The near end of a stream through a tunnel.
#[derive(Debug)]
pub struct Client {
    /// Towards the target.
    pub tx: Sender,
    /// From the target.
    pub rx: Receiver,
    /// The `spipe` that the stream goes through, if it is one.
    pub spipe: Option<Program>,
}

impl Tunnel {
    /// Connects to the near end, or starts a `spipe`.
    #[track_caller]
    pub fn connect(&self) -> Client {
        match &self.entry {
            Entry::Spiped { source, .. } => {
                let Duplex { tx, rx } = Duplex::connect(source);
                Client {
                    tx,
                    rx,
                    spipe: None,
                }
            }
            Entry::Spipe { .. } => {
                let command = self.spipe();
                let mut spipe = Program::with_stdio(
                    &self.dir,
                    "spipe",
                    command,
                    Stdio::piped(),
                    Stdio::piped(),
                );
                let Duplex { tx, rx } = Duplex::of_child(spipe.child());
                Client {
                    tx,
                    rx,
                    spipe: Some(spipe),
                }
            }
        }
    }

    /// The `spipe` that leads into it, for programs that start it themselves.
    ///
    /// # Panics
    /// When there is a daemon in its place.
    pub fn spipe(&self) -> Command {
        let Entry::Spipe {
            maker,
            middle,
            key,
            args,
        } = &self.entry
        else {
            panic!("the encrypting end is spiped");
        };
        let mut command = maker.spipe(middle, key);
        command.args(args);
        command
    }

    /// A stream from the client to the target, and both its ends.
    #[track_caller]
    pub fn open(&self) -> (Client, Duplex) {
        let client = self.connect();
        (client, self.listener.accept())
    }

    /// The service that the test plays.
    pub fn target(&self) -> &Listener {
        &self.listener
    }

    /// The encrypting daemon.
    ///
    /// # Panics
    /// When there is `spipe` in its place.
    pub fn client(&mut self) -> &mut Program {
        match &mut self.entry {
            Entry::Spiped { program, .. } => program,
            Entry::Spipe { .. } => panic!("the encrypting end is spipe"),
        }
    }

    /// The decrypting daemon.
    pub fn server(&mut self) -> &mut Program {
        &mut self.server
    }

    /// Where the encrypting daemon listens.
    ///
    /// # Panics
    /// When there is `spipe` in its place.
    pub fn source(&self) -> &Address {
        match &self.entry {
            Entry::Spiped { source, .. } => source,
            Entry::Spipe { .. } => panic!("the encrypting end is spipe"),
        }
    }

    /// Where the decrypting daemon listens.
    pub fn middle(&self) -> &Address {
        &self.middle
    }

    /// Who is between the two ends.
    ///
    /// # Panics
    /// When there is nobody.
    pub fn attacker(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// The folder that its programs run in.
    pub fn dir(&self) -> &TempDir {
        &self.dir
    }
}

impl Client {
    /// Breaks the connection by RST.
    pub fn reset(self) {
        Duplex {
            tx: self.tx,
            rx: self.rx,
        }
        .reset();
    }

    /// Checks that a `spipe` in the stream ends with success.
    #[track_caller]
    pub fn expect_success(spipe: Option<Program>) {
        if let Some(mut spipe) = spipe {
            let status = spipe.wait();
            assert!(status.success(), "{status}: {}", spipe.stderr());
        }
    }
}
