//! What a reload must never do: turn a key off, keep a removed client in, or wait for ever.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocked;
mod draining;
mod keys;
mod removed;
mod sandboxed;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testbed::{Address, Duplex, Echo, Listener, Mode, Pattern, Program, Site, Transport};

/// A service that echoes, in a place of its own.
struct Scene {
    site: Site,
    echo: Echo,
}

impl Scene {
    fn new() -> Self {
        let site = Site::new();
        let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
        Self { site, echo }
    }

    /// A folder that only its owner can enter.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.site.dir.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        folder
    }

    /// A key that is called after its file.
    fn key(&self, name: &str) -> PathBuf {
        self.site.dir.write(name, secret(name))
    }

    /// An encrypting end that holds a key, and leads to the decrypting one.
    fn client(&self, key: &Path) -> Client {
        let source = Address::free_v4();
        let e = testbed::ours!().spiped(Mode::Encrypt, &source, &self.site.source, key);
        let name = format!("e-{}", source.tcp().port());
        Client {
            _program: Program::serving(&self.site.dir, &name, e, &source),
            source,
        }
    }

    /// A file with one decrypting pipe; the lines of `more` come last.
    fn describe(&self, key: &str, more: &str) {
        let text = format!(
            "[pipe.d]\nmode = \"decrypt\"\nsource = \"{}\"\ntarget = \"{}\"\nkey = {key}\n{more}\n",
            self.site.source,
            self.echo.address()
        );
        let new = self.site.dir.write("new.toml", text);
        fs::rename(new, self.site.dir.join("pipes.toml")).unwrap();
    }

    fn described(&self) -> Program {
        let mut d = testbed::ours!().bare_spiped();
        d.arg("--config").arg(self.site.dir.join("pipes.toml"));
        Program::serving(&self.site.dir, "d", d, &self.site.source)
    }
}

/// An encrypting end, and where it listens.
struct Client {
    _program: Program,
    source: Address,
}

impl Client {
    /// Whether it gets through to the service.
    fn gets_in(&self) -> bool {
        let mut client = Duplex::connect(&self.source);
        let asked = client.tx.write_all(b"x");
        asked.is_ok() && client.rx.read_exact(&mut [0]).is_ok()
    }

    /// A connection through which data has passed.
    #[track_caller]
    fn opens(&self) -> Duplex {
        let mut client = Duplex::connect(&self.source);
        passes(&mut client);
        client
    }
}

#[track_caller]
fn passes(client: &mut Duplex) {
    client.tx.send(&mut Pattern::new(1), 3000);
    client.rx.expect(&mut Pattern::new(1), 3000);
}

/// How many lines there are that say what became of a reload.
fn lines(told: &str) -> usize {
    let lines = told.lines().filter(|line| line.contains("reloaded"));
    lines.count()
}

fn secret(name: &str) -> String {
    format!("{name:0>32}")
}
