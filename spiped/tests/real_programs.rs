//! What people run through it: a database, a web server, ssh.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testbed::{
    Address, Pattern, Plan, Program, TempDir, Tunnel, find, is_root, sha256, sha256_of_pattern,
};

testbed::for_each_pairing![of spiped:
    redis_is_benchmarked_without_an_error,
    a_web_server_serves_a_page_and_a_large_file,
    a_web_server_serves_many_files_at_once,
];

testbed::for_each_pairing![of spipe:
    ssh_runs_a_command,
    scp_copies_a_tree_both_ways,
    rsync_copies_a_tree_and_its_changes,
];

/// Runs a program of somebody else, which must succeed.
#[track_caller]
fn succeed(dir: &TempDir, name: &str, command: Command) {
    let (status, stderr) = Program::run(dir, name, command);
    assert!(status.success(), "{name}: {status}: {stderr}");
}

fn redis_is_benchmarked_without_an_error(plan: &Plan<'_>) {
    testbed::need!("redis-server", "redis-benchmark");
    let dir = TempDir::new();
    let target = Address::free_v4();
    let port = target.tcp().port().to_string();
    let mut server = Command::new("redis-server");
    server
        .args(["--bind", "127.0.0.1", "--port", &port, "--save", ""])
        .arg("--dir")
        .arg(dir.path());
    let mut server = Program::start(&dir, "redis", server);
    server.listens_on(&target);

    let tunnel = plan.clone().to(&target).start();
    let port = tunnel.source().tcp().port().to_string();
    let small = ["-d", "3", "-n", "5000", "-t", "ping,set,get,lrange_100"];
    let large = ["-d", "20000", "-n", "2000", "-t", "ping,set,get", "-P", "8"];
    for kind in [&small[..], &large[..]] {
        let mut benchmark = Command::new("redis-benchmark");
        benchmark
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "-c", "30"])
            .args(kind);
        let output = dir.join("benchmark.stdout");
        let stdout = Stdio::from(fs::File::create(&output).unwrap());
        let mut benchmark =
            Program::with_stdio(&dir, "benchmark", benchmark, Stdio::null(), stdout);
        let status = benchmark.wait();
        let said = fs::read_to_string(output).unwrap() + &benchmark.stderr();
        assert!(status.success(), "{status}: {said}");
        assert!(said.contains("GET: "), "{said}");
        assert!(!said.to_lowercase().contains("error"), "{said}");
    }
}

/// A web server and a tunnel to it.
struct Web {
    tunnel: Tunnel,
    _server: Program,
    dir: TempDir,
}

impl Web {
    fn start(plan: &Plan<'_>, files: &[(&str, usize)]) -> Self {
        let dir = TempDir::new();
        let root = dir.join("www");
        fs::create_dir(&root).unwrap();
        for (seed, (name, length)) in (0..).zip(files) {
            fs::write(root.join(name), content(seed, *length)).unwrap();
        }
        let target = Address::free_v4();
        let user = if is_root() { "user root;" } else { "" };
        let path = dir.path().display();
        let configuration = format!(
            "daemon off; master_process off; {user}
            pid {path}/nginx.pid; error_log stderr warn;
            events {{ worker_connections 500; }}
            http {{
                access_log off;
                client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
                fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi;
                scgi_temp_path {path}/scgi;
                server {{ listen {}; root {}; }}
            }}",
            target.tcp(),
            root.display(),
        );
        let configuration = dir.write("nginx.conf", configuration);
        let mut server = Command::new(find("nginx").unwrap());
        server
            .arg("-p")
            .arg(dir.path())
            .arg("-c")
            .arg(configuration);
        let mut server = Program::start(&dir, "nginx", server);
        server.listens_on(&target);
        let tunnel = plan.clone().to(&target).start();
        Self {
            tunnel,
            _server: server,
            dir,
        }
    }

    fn curl(&self, path: &str, output: &str, args: &[&str]) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "-o", output])
            .args(args)
            .arg(format!("http://{}/{path}", self.tunnel.source().tcp()));
        succeed(&self.dir, "curl", curl);
    }

    fn sha256(&self, output: &str) -> [u8; 32] {
        sha256(&fs::read(self.dir.join(output)).unwrap())
    }
}

fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Pattern::new(seed).fill(&mut bytes);
    bytes
}

fn a_web_server_serves_a_page_and_a_large_file(plan: &Plan<'_>) {
    testbed::need!("nginx", "curl");
    const LARGE: usize = 64 * 1024 * 1024;
    let web = Web::start(plan, &[("index.html", 1000), ("large", LARGE)]);
    web.curl("", "page", &[]);
    assert_eq!(web.sha256("page"), sha256_of_pattern(0, 1000));
    web.curl("large", "large", &[]);
    assert_eq!(web.sha256("large"), sha256_of_pattern(1, LARGE));
}

fn a_web_server_serves_many_files_at_once(plan: &Plan<'_>) {
    testbed::need!("nginx", "curl");
    let names: Vec<String> = (0..100).map(|n| format!("file{n}")).collect();
    let files: Vec<_> = names.iter().zip((0..).step_by(3000)).collect();
    let files: Vec<_> = files.iter().map(|(n, l)| (n.as_str(), *l)).collect();
    let web = Web::start(plan, &files);
    // C's queue of ten overflows beyond that.
    web.curl(
        "file[0-99]",
        "got#1",
        &["--parallel", "--parallel-max", "20"],
    );
    for (seed, (_, length)) in (0..).zip(&files) {
        let got = web.sha256(&format!("got{seed}"));
        assert_eq!(got, sha256_of_pattern(seed, *length), "file{seed}");
    }
}

/// An sshd of its own, and an ssh that reaches it through `spipe`.
struct Ssh {
    _tunnel: Tunnel,
    _sshd: Program,
    options: Vec<String>,
    dir: TempDir,
}

impl Ssh {
    fn start(plan: &Plan<'_>) -> Self {
        let dir = TempDir::new();
        for name in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", name]);
            succeed(&dir, "keygen", keygen);
        }
        fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
        let target = Address::free_v4();
        let path = dir.path().display();
        let configuration = format!(
            "ListenAddress {}
            HostKey {path}/host
            AuthorizedKeysFile {path}/authorized
            PidFile none
            PermitRootLogin prohibit-password
            PasswordAuthentication no
            StrictModes no
            UsePAM no
            Subsystem sftp internal-sftp\n",
            target.tcp()
        );
        let configuration = dir.write("sshd_config", configuration);
        let mut sshd = Program::start(&dir, "sshd", sshd(&configuration));
        sshd.listens_on(&target);

        let tunnel = plan.clone().to(&target).start();
        let spipe = tunnel.spipe();
        let words = std::iter::once(spipe.get_program()).chain(spipe.get_args());
        let words: Vec<_> = words.map(|w| format!("'{}'", w.display())).collect();
        let options = [
            format!("ProxyCommand={}", words.join(" ")),
            format!("IdentityFile={path}/user"),
            "IdentitiesOnly=yes".to_owned(),
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=no".to_owned(),
            "UserKnownHostsFile=/dev/null".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        Self {
            _tunnel: tunnel,
            _sshd: sshd,
            options: options.map(|o| format!("-o{o}")).into(),
            dir,
        }
    }

    /// `ssh` or `scp` with the options that lead through the tunnel.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-F", "none"]).args(&self.options);
        command
    }

    fn tree(&self) -> PathBuf {
        let tree = self.dir.join("tree");
        fs::create_dir_all(tree.join("a folder/deeper")).unwrap();
        fs::write(tree.join("empty"), "").unwrap();
        fs::write(tree.join("a folder/large"), content(1, 5_000_000)).unwrap();
        for n in 0..100 {
            let name = format!("a folder/deeper/{n}");
            fs::write(tree.join(name), content(n, 777)).unwrap();
        }
        tree
    }
}

/// As root, sshd wants a folder of its own in `/run`, made at boot as a rule.
fn sshd_needs_a_folder() -> bool {
    is_root() && !Path::new("/run/sshd").exists()
}

fn sshd(configuration: &Path) -> Command {
    let sshd = find("sshd").unwrap();
    let mut command = Command::new(&sshd);
    if sshd_needs_a_folder() {
        command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-ec"])
            .arg("mount -t tmpfs tmpfs /run; mkdir /run/sshd; exec \"$@\"")
            .arg("sh")
            .arg(sshd);
    }
    command.args(["-D", "-e", "-f"]).arg(configuration);
    command
}

/// Every file of a folder, by its name and its hash.
fn hashes(root: &Path) -> BTreeMap<PathBuf, [u8; 32]> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                found.insert(name, sha256(&fs::read(&path).unwrap()));
            }
        }
    }
    found
}

fn ssh_runs_a_command(plan: &Plan<'_>) {
    testbed::need!("ssh", "sshd", "ssh-keygen");
    if sshd_needs_a_folder() {
        testbed::need!("unshare --mount");
    }
    let ssh = Ssh::start(plan);
    let question = content(2, 10_000_000);
    let input = fs::File::open(ssh.dir.write("question", &question)).unwrap();
    let output = fs::File::create(ssh.dir.join("answer")).unwrap();
    let mut command = ssh.command("ssh");
    command.args(["target", "cat; exit 7"]);
    let mut run = Program::with_stdio(&ssh.dir, "ssh", command, input.into(), output.into());
    assert_eq!(run.wait().code(), Some(7), "{}", run.stderr());
    let answer = fs::read(ssh.dir.join("answer")).unwrap();
    assert_eq!(sha256(&answer), sha256(&question));
}

fn scp_copies_a_tree_both_ways(plan: &Plan<'_>) {
    testbed::need!("ssh", "scp", "sshd", "ssh-keygen");
    if sshd_needs_a_folder() {
        testbed::need!("unshare --mount");
    }
    let ssh = Ssh::start(plan);
    let tree = ssh.tree();
    let there = ssh.dir.join("there");
    let back = ssh.dir.join("back");
    let mut upload = ssh.command("scp");
    upload
        .arg("-rq")
        .arg(&tree)
        .arg(format!("target:{}", there.display()));
    succeed(&ssh.dir, "upload", upload);
    let mut download = ssh.command("scp");
    download
        .arg("-rq")
        .arg(format!("target:{}", there.display()))
        .arg(&back);
    succeed(&ssh.dir, "download", download);
    assert_eq!(hashes(&there), hashes(&tree));
    assert_eq!(hashes(&back), hashes(&tree));
}

fn rsync_copies_a_tree_and_its_changes(plan: &Plan<'_>) {
    testbed::need!("ssh", "rsync", "sshd", "ssh-keygen");
    if sshd_needs_a_folder() {
        testbed::need!("unshare --mount");
    }
    let ssh = Ssh::start(plan);
    let tree = ssh.tree();
    let there = ssh.dir.join("there");
    let script = ssh.dir.join("through");
    let words: Vec<_> = ssh.options.iter().map(|o| format!("\"{o}\"")).collect();
    let script_text = format!("#!/bin/sh\nexec ssh -F none {} \"$@\"\n", words.join(" "));
    fs::write(&script, script_text).unwrap();
    let copy = |name: &str| {
        let mut rsync = Command::new("rsync");
        rsync
            .args(["--archive", "--checksum", "--delete", "--compress", "--rsh"])
            .arg(format!("sh {}", script.display()))
            .arg(format!("{}/", tree.display()))
            .arg(format!("target:{}/", there.display()));
        succeed(&ssh.dir, name, rsync);
        assert_eq!(hashes(&there), hashes(&tree));
    };
    copy("first");
    fs::remove_file(tree.join("a folder/deeper/7")).unwrap();
    fs::write(tree.join("a folder/large"), content(3, 5_000_000)).unwrap();
    copy("second");
}
