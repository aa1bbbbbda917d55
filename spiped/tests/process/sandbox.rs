//! What a process that has entered the sandbox can still do, seen from inside. Everything that it
//! cannot is first tried without the sandbox, where it must work.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, Output};

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{ForkResult, execv, fork, geteuid, getppid};
use socket2::{Domain, Protocol, Socket, Type};
use spiped::os::sandbox::{Permissions, Sandbox};
use spiped_tokio::Address;

use crate::{Dir, Test, subject as command, temporary};

pub(crate) const TESTS: &[Test] = &[
    ("walls_around_files", walls_around_files),
    ("walls_around_ports", walls_around_ports),
    ("walls_around_processes", walls_around_processes),
    ("walls_around_memory", walls_around_memory),
    ("walls_leave_what_is_needed", walls_leave_what_is_needed),
    ("walls_hold_in_new_threads", walls_hold_in_new_threads),
    ("walls_need_a_single_thread", walls_need_a_single_thread),
];

/// An attempt from inside, and what it came to.
type Attempt = fn(&str) -> std::io::Result<()>;

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("read", |path| fs::read(path).map(drop)),
    ("write", |path| fs::write(path, "overwritten")),
    ("remove", |path| fs::remove_file(path)),
    ("list", |path| fs::read_dir(path).map(drop)),
    ("connect", |port| TcpStream::connect(local(port)).map(drop)),
    ("connect-fast-open", connect_fast_open),
    ("connect-mptcp", |port| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))?;
        socket.connect(&local(port).into())
    }),
    ("udp", |port| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        socket.connect(&local(port).into())
    }),
    ("unix", |_| {
        Socket::new(Domain::UNIX, Type::STREAM, None).map(drop)
    }),
    ("bind", |port| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&local(port).into())
    }),
    ("listen", |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.listen(1)
    }),
    ("packets", |_| {
        Socket::new(Domain::PACKET, Type::RAW, None).map(drop)
    }),
    ("execute", |_| {
        execv(c"/bin/true", &[c"true"])
            .map(drop)
            .map_err(Into::into)
    }),
    ("fork", |_| {
        // SAFETY: the child does nothing but end.
        match unsafe { fork() }? {
            ForkResult::Parent { .. } => Ok(()),
            ForkResult::Child => std::process::exit(0),
        }
    }),
    ("trace", |_| {
        // SAFETY: it takes no pointers.
        outcome(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) })
    }),
    ("signal", |_| Ok(kill(getppid(), None)?)),
    ("map-code", |_| {
        let (writes, executes) = (libc::PROT_WRITE, libc::PROT_EXEC);
        map(writes | executes).map(drop)
    }),
    ("make-code", |_| {
        let page = map(libc::PROT_WRITE)?;
        // SAFETY: the page is the mapping above.
        outcome(unsafe { libc::mprotect(page, 1, libc::PROT_EXEC) })
    }),
    ("memory", |_| fs::File::open("/proc/self/mem").map(drop)),
    ("become-root", |_| {
        // SAFETY: it takes no pointers.
        outcome(unsafe { libc::syscall(libc::SYS_setfsuid, 0) })
    }),
    ("limits", |_| {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?)
    }),
    ("dumpable", |_| {
        // SAFETY: it takes no pointers.
        outcome(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) })
    }),
    ("dump", |_| Ok(raise(Signal::SIGABRT)?)),
    ("resolve", |name| {
        let address: Address = name.parse().unwrap();
        address.resolve_blocking().map(drop)
    }),
    ("runtime", |port| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build()?;
        runtime.block_on(async {
            let mut terminate =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            let connected = tokio::net::TcpStream::connect(local(port)).await?;
            let blocking = tokio::task::spawn_blocking(move || drop(connected));
            blocking.await?;
            raise(Signal::SIGTERM)?;
            terminate.recv().await;
            Ok(())
        })
    }),
    ("thread", |path| {
        let path = path.to_owned();
        let thread = std::thread::Builder::new().spawn(|| fs::read(path).map(drop))?;
        thread.join().unwrap()
    }),
];

fn local(port: &str) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port.parse().unwrap()).into()
}

/// Of a system call, which returns 32 or 64 bits as the processor has.
fn outcome(returned: impl Into<i64>) -> std::io::Result<()> {
    match returned.into() {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn map(protection: libc::c_int) -> std::io::Result<*mut libc::c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping touches nothing that exists.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 1, protection, flags, -1, 0) };
    outcome(page as i64).map(|()| page)
}

/// Connects by sending, which Landlock does not see.
fn connect_fast_open(port: &str) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let sent = socket.send_to_with_flags(b"x", &local(port).into(), libc::MSG_FASTOPEN);
    sent.map(drop)
}

/// The process under test: enters the sandbox if `role` says so, and tries. The argument is what to
/// try, a port that may be connected to, and what to try it with.
pub(crate) fn subject(role: &str, argument: &str) -> ExitCode {
    let [attempt, port, with] = argument.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        panic!("not three words: {argument}");
    };
    let names = Permissions {
        names: true,
        connect: [port.parse().unwrap()].into(),
        ..Permissions::default()
    };
    let (sandbox, needs) = match role {
        "sandbox-none" => (Sandbox::Off, names),
        "sandbox-names" => (Sandbox::Require, names),
        "sandbox-addresses" => (
            Sandbox::Require,
            Permissions {
                names: false,
                ..names
            },
        ),
        _ => panic!("no such role: {role}"),
    };
    if attempt == "dump" {
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
        setrlimit(Resource::RLIMIT_CORE, hard, hard).unwrap();
    }
    let (_alive, wait) = std::sync::mpsc::channel::<()>();
    if attempt == "second-thread" {
        std::thread::spawn(move || wait.recv());
    }
    if let Err(error) = sandbox.enter(&needs, Ok(())) {
        println!("{error}");
        return ExitCode::FAILURE;
    }
    let Some((_, act)) = ATTEMPTS.iter().find(|(name, _)| *name == attempt) else {
        return ExitCode::SUCCESS;
    };
    match act(with) {
        Ok(()) => println!("done"),
        Err(error) => println!("{}", error.raw_os_error().unwrap_or(-1)),
    }
    ExitCode::SUCCESS
}

/// A place for attempts: a folder with a file in it, and two ports that are listened on.
struct Scene {
    dir: Dir,
    target: TcpListener,
    other: TcpListener,
}

/// How an attempt ends: it works, fails with an error, or ends the process.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Works,
    Fails(i32),
    Killed,
    Other(String),
}

const ABSENT: End = End::Fails(libc::ENOSYS);
const DENIED: End = End::Fails(libc::EACCES);

impl Scene {
    fn new() -> Self {
        let dir = temporary();
        fs::write(dir.0.join("file"), "precious").unwrap();
        let owner_only = fs::Permissions::from_mode(0o600);
        fs::set_permissions(dir.0.join("file"), owner_only).unwrap();
        let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self {
            dir,
            target: listener(),
            other: listener(),
        }
    }

    fn output(&self, role: &str, attempt: &str, with: &str) -> Output {
        let argument = format!("{attempt} {} {with}", port(&self.target));
        let mut command = command(role, &argument);
        command.current_dir(&self.dir.0).output().unwrap()
    }

    fn end(&self, role: &str, attempt: &str, with: &str) -> End {
        let output = self.output(role, attempt, with);
        let said = String::from_utf8_lossy(&output.stdout);
        match (output.status.signal(), said.trim().parse()) {
            (Some(signal), _) if signal == Signal::SIGSYS as i32 => End::Killed,
            (None, Ok(errno)) => End::Fails(errno),
            (None, Err(_)) if said.trim() == "done" => End::Works,
            _ if output.status.success() && attempt == "execute" => End::Works,
            _ => End::Other(format!("{output:?}")),
        }
    }

    /// Tries without the sandbox, and then in both kinds of it.
    fn expect(&self, attempt: &str, with: &str, names: End, addresses: End) {
        assert_eq!(
            self.end("sandbox-none", attempt, with),
            End::Works,
            "{attempt}"
        );
        assert_eq!(self.end("sandbox-names", attempt, with), names, "{attempt}");
        let end = self.end("sandbox-addresses", attempt, with);
        assert_eq!(end, addresses, "{attempt} without names");
    }

    fn file(&self) -> String {
        self.dir.0.join("file").display().to_string()
    }
}

fn port(listener: &TcpListener) -> String {
    listener.local_addr().unwrap().port().to_string()
}

/// Says so where the kernel lacks what the tests are about.
fn skipped(scene: &Scene) -> bool {
    let output = scene.output("sandbox-names", "nothing", "");
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stdout);
        println!("skipped: {}", why.trim());
    }
    !output.status.success()
}

/// How reading a file of one's own ends where names are looked up: root reads as nobody.
fn read_by_its_owner() -> End {
    match geteuid().is_root() {
        true => DENIED,
        false => End::Works,
    }
}

fn walls_around_files() {
    let scene = Scene::new();
    if skipped(&scene) {
        return;
    }
    scene.expect("read", &scene.file(), read_by_its_owner(), ABSENT);
    // The resolver's files may be anywhere, and are for everybody.
    scene.expect("read", "/etc/hosts", End::Works, ABSENT);
    scene.expect("write", &scene.file(), ABSENT, ABSENT);
    scene.expect("write", "new", ABSENT, ABSENT);
    scene.expect("list", ".", DENIED, ABSENT);
    scene.expect("memory", "", DENIED, ABSENT);
    if geteuid().is_root() {
        // In the folder of the resolver's files, but not for everybody.
        scene.expect("read", "/etc/shadow", DENIED, ABSENT);
        scene.expect("become-root", "", ABSENT, ABSENT);
    }
    // Last, because without the sandbox it is gone then.
    fs::write(scene.dir.0.join("file"), "precious").unwrap();
    assert_eq!(scene.end("sandbox-names", "remove", &scene.file()), ABSENT);
    assert_eq!(fs::read(scene.file()).unwrap(), b"precious");
    assert_eq!(
        scene.end("sandbox-none", "remove", &scene.file()),
        End::Works
    );
}

fn walls_around_ports() {
    let scene = Scene::new();
    if skipped(&scene) {
        return;
    }
    let other = port(&scene.other);
    scene.expect("connect", &other, DENIED, DENIED);
    scene.expect("connect-fast-open", &other, ABSENT, ABSENT);
    if scene.end("sandbox-none", "connect-mptcp", &other) == End::Works {
        scene.expect("connect-mptcp", &other, ABSENT, ABSENT);
    }
    scene.expect("bind", "0", DENIED, ABSENT);
    scene.expect("listen", "", ABSENT, ABSENT);
    // Look-ups need them.
    scene.expect("udp", &other, End::Works, ABSENT);
    scene.expect("unix", "", End::Works, ABSENT);
    if geteuid().is_root() {
        scene.expect("packets", "", ABSENT, ABSENT);
    }
}

fn walls_around_processes() {
    let scene = Scene::new();
    if skipped(&scene) {
        return;
    }
    scene.expect("execute", "", End::Killed, End::Killed);
    scene.expect("fork", "", ABSENT, ABSENT);
    scene.expect("trace", "", End::Killed, End::Killed);
    scene.expect("signal", "", ABSENT, ABSENT);
    scene.expect("limits", "", ABSENT, ABSENT);
}

fn walls_around_memory() {
    let scene = Scene::new();
    if skipped(&scene) {
        return;
    }
    scene.expect("map-code", "", ABSENT, ABSENT);
    scene.expect("make-code", "", ABSENT, ABSENT);
    scene.expect("dumpable", "", ABSENT, ABSENT);
    let dumps = |role| {
        let status = scene.output(role, "dump", "").status;
        assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{role}");
        status.core_dumped()
    };
    let (without, within) = (dumps("sandbox-none"), dumps("sandbox-names"));
    assert!(!within);
    if !without {
        println!("skipped: there are no core files here anyway");
    }
}

fn walls_leave_what_is_needed() {
    let scene = Scene::new();
    if skipped(&scene) {
        return;
    }
    let target = port(&scene.target);
    scene.expect("connect", &target, End::Works, End::Works);
    scene.expect("runtime", &target, End::Works, End::Works);
    scene.expect("read", "/etc/hosts", End::Works, ABSENT);
    assert_eq!(
        scene.end("sandbox-names", "resolve", "localhost:http"),
        End::Works
    );
}

fn walls_hold_in_new_threads() {
    let scene = Scene::new();
    if skipped(&scene) {
        return;
    }
    scene.expect("thread", &scene.file(), read_by_its_owner(), ABSENT);
}

/// Landlock would leave the others out.
fn walls_need_a_single_thread() {
    let scene = Scene::new();
    if skipped(&scene) {
        return;
    }
    let output = scene.output("sandbox-names", "second-thread", "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "cannot put up the whole sandbox: landlock: other threads are running\n"
    );
}
