//! What docs/guides leads through it besides: PostgreSQL, mail by SMTP, and what listens on unix
//! sockets only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testbed::{Address, Plan, Program, TempDir, Transport, Tunnel, is_root, until};

testbed::for_each_pairing![of spiped:
    mail_arrives_whole,
    a_store_is_reached_from_unix_socket_to_unix_socket,
];

/// Debian keeps the server's programs out of PATH, in a folder for each version.
fn postgresql(program: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let paths = versions.map(|v| v.unwrap().path().join("bin").join(program));
    let newest = paths.filter(|p| p.exists()).max();
    newest.map_or(program.to_owned(), |p| p.display().to_string())
}

/// PostgreSQL does not run as root.
const NOBODY: u32 = 65534;

fn as_nobody(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(program);
    command
}

/// A server with one user, `app`, and the password `secret`.
struct Database {
    address: Address,
    _server: Program,
    dir: TempDir,
}

impl Database {
    fn start() -> Self {
        let dir = TempDir::new();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = dir.join("data");
        fs::create_dir(&data).unwrap();
        let password = dir.join("password");
        fs::write(&password, "secret\n").unwrap();
        if is_root() {
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut initdb = as_nobody(&postgresql("initdb"));
        initdb
            .args(["--no-sync", "--auth=scram-sha-256", "--username=app"])
            .args(["--encoding=UTF8", "--locale=C", "--pwfile"])
            .arg(password)
            .arg("--pgdata")
            .arg(&data);
        let (status, stderr) = Program::run(&dir, "initdb", initdb);
        assert!(status.success(), "{status}: {stderr}");

        let address = Address::free_v4();
        let mut server = as_nobody(&postgresql("postgres"));
        server
            .args(["-F", "-h", "127.0.0.1", "-k", ""])
            .args(["-p", &address.tcp().port().to_string(), "-D"])
            .arg(data);
        let mut server = Program::start(&dir, "postgres", server);
        server.listens_on(&address);
        let database = Self {
            address,
            _server: server,
            dir,
        };
        // It listens before it lets anybody in.
        until("the database to be up", || {
            let (host, port) = host_and_port(&database.address);
            let (status, _, _) = database.run("psql", &host, port, &["-c", "select 1"]);
            status.then_some(())
        });
        database
    }

    /// Runs a client of PostgreSQL: whether it ended well, what it printed,
    /// and its complaints.
    fn run(&self, program: &str, host: &str, port: u16, args: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(program);
        command
            .args(["-h", host, "-p", &port.to_string(), "-U", "app"])
            .args(args)
            .env("PGPASSWORD", "secret")
            .env("PGDATABASE", "postgres");
        let output = self.dir.join("output");
        let stdout = Stdio::from(fs::File::create(&output).unwrap());
        let mut run = Program::with_stdio(&self.dir, "client", command, Stdio::null(), stdout);
        let status = run.wait();
        let printed = fs::read_to_string(output).unwrap();
        (status.success(), printed, run.stderr())
    }
}

/// Where clients of PostgreSQL look: a unix socket's name is made of its port.
fn host_and_port(address: &Address) -> (String, u16) {
    match address {
        Address::Tcp(address) => (address.ip().to_string(), address.port()),
        Address::Unix(path) => (path.parent().unwrap().display().to_string(), 5432),
    }
}

#[test]
fn postgresql_takes_queries_and_dumps_over_tcp_and_a_unix_socket() {
    testbed::need!("psql", "pg_dump", "pgbench", "setpriv");
    testbed::need!(&*postgresql("initdb"), &*postgresql("postgres"));
    let ours = testbed::ours!();
    let database = Database::start();
    let tunnel = Plan::new(&ours, &ours).to(&database.address).start();

    // The same tunnel by another entry.
    let key = tunnel.dir().join("client.key");
    let socket = Address::Unix(tunnel.dir().join(".s.PGSQL.5432"));
    let command = ours.spiped(testbed::Mode::Encrypt, &socket, tunnel.middle(), &key);
    let _entry = Program::serving(tunnel.dir(), "entry", command, &socket);

    let run = |entry: &Address, program: &str, args: &[&str]| {
        let (host, port) = host_and_port(entry);
        let (succeeded, printed, complaints) = database.run(program, &host, port, args);
        assert!(succeeded, "{program} {args:?}: {complaints}");
        printed
    };
    let tcp = tunnel.source();
    run(
        tcp,
        "psql",
        &[
            "-c",
            "create table t as select n, md5(n::text) h from generate_series(1, 20000) n",
        ],
    );
    let sum = &[
        "-At",
        "-c",
        "select count(*), md5(string_agg(h, '' order by n)) from t",
    ];
    let (host, port) = host_and_port(&database.address);
    let (_, there, _) = database.run("psql", &host, port, sum);
    assert!(there.starts_with("20000|"), "{there}");
    for entry in [tcp, &socket] {
        assert_eq!(run(entry, "psql", sum), there);
        let dump = run(entry, "pg_dump", &[]);
        assert_eq!(dump.lines().filter(|l| l.contains('\t')).count(), 20_000);
    }
    // A new connection for each of 30 transactions.
    let script = database.dir.join("script");
    fs::write(&script, "insert into t values (0, 'late');\n").unwrap();
    let script = script.display().to_string();
    let load = ["-n", "-C", "-c", "3", "-t", "10", "-f", &script];
    run(&socket, "pgbench", &load);
    let late = ["-At", "-c", "select count(*) from t where h = 'late'"];
    assert_eq!(run(tcp, "psql", &late), "30\n");

    let wrong = database.run(
        "psql",
        &host,
        tcp.tcp().port(),
        &["-w", "-U", "nobody", "-c", ""],
    );
    assert!(
        wrong.2.contains("password authentication failed"),
        "{wrong:?}"
    );
}

/// The files of a mailbox that has come so far.
fn mails(mailbox: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(mailbox.join("new")).into_iter().flatten();
    entries.map(|e| e.unwrap().path()).collect()
}

fn send(tunnel: &Tunnel, recipient: &str, mail: &Path) {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--mail-from", "root@a.example", "--mail-rcpt"])
        .args([recipient, "--upload-file"])
        .arg(mail)
        .arg(format!("smtp://{}", tunnel.source().tcp()));
    let (status, stderr) = Program::run(tunnel.dir(), "curl", curl);
    assert!(status.success(), "{status}: {stderr}");
}

fn mail_arrives_whole(plan: &Plan<'_>) {
    testbed::need!("aiosmtpd", "curl");
    let dir = TempDir::new();
    let mailbox = dir.join("mailbox");
    let target = Address::free_v4();
    let mut server = Command::new("aiosmtpd");
    server
        .args(["--nosetuid", "--listen", &target.tcp().to_string()])
        .args(["--class", "aiosmtpd.handlers.Mailbox"])
        .arg(&mailbox);
    let mut server = Program::start(&dir, "aiosmtpd", server);
    server.listens_on(&target);
    let tunnel = plan.clone().to(&target).start();

    let line = |n: u32| format!("{n} of a long report\r\n");
    let long: String = (0..40_000).map(line).collect();
    for (count, body) in (1..).zip(["A short note.\r\n", &long]) {
        let mail = format!("From: root@a.example\r\nSubject: {count}\r\n\r\n{body}");
        send(&tunnel, "you@b.example", &dir.write("mail", &mail));
        let wanted = mail.replace("\r\n", "\n");
        let (_, wanted) = wanted.split_once("\n\n").unwrap();
        let arrived = mails(&mailbox);
        assert_eq!(arrived.len(), count);
        let arrived = arrived.iter().map(|m| fs::read_to_string(m).unwrap());
        let bodies: Vec<_> = arrived
            .filter(|m| m.contains(&format!("Subject: {count}\n")))
            .collect();
        assert_eq!(bodies.len(), 1);
        assert_eq!(bodies[0].split_once("\n\n").unwrap().1, wanted);
    }
}

/// Redis stands for kivaloo.
fn a_store_is_reached_from_unix_socket_to_unix_socket(plan: &Plan<'_>) {
    testbed::need!("redis-server", "redis-benchmark");
    let dir = TempDir::new();
    let target = Address::free(Transport::Unix, &dir, "redis");
    let mut server = Command::new("redis-server");
    server
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(target.to_string())
        .arg("--dir")
        .arg(dir.path());
    let mut server = Program::start(&dir, "redis", server);
    server.listens_on(&target);

    let tunnel = plan.clone().over(Transport::Unix).to(&target).start();
    let mut benchmark = Command::new("redis-benchmark");
    benchmark
        .args(["-s", &tunnel.source().to_string()])
        // C queues ten connections, and a full queue of a unix socket turns away who comes.
        .args(["-q", "-c", "8", "-P", "4", "-n", "5000", "-t", "set,get"]);
    let output = dir.join("benchmark.stdout");
    let stdout = Stdio::from(fs::File::create(&output).unwrap());
    let mut benchmark = Program::with_stdio(&dir, "benchmark", benchmark, Stdio::null(), stdout);
    let status = benchmark.wait();
    let said = fs::read_to_string(output).unwrap() + &benchmark.stderr();
    assert!(
        status.success() && said.contains("GET: "),
        "{status}: {said}"
    );
}
