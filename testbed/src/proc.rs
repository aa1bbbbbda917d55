//! What Linux tells of a process and its sockets.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::time::Duration;

use crate::Address;

/// Whether something listens there. Asking makes no connection, so that it
/// takes no slot of a limit and shows in no log.
pub fn is_listening(address: &Address) -> bool {
    is_listening_for("self", address)
}

/// The inode of the socket that listens at a TCP address of IPv4.
#[track_caller]
pub fn listener(address: &Address) -> u64 {
    let port = format!(":{:04X}", address.tcp().port());
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let listening = table.lines().map(|line| line.split_ascii_whitespace());
    let mut inodes = listening.filter_map(|mut words| {
        let is_it = words.nth(1)?.ends_with(&port) && words.nth(1)? == "0A";
        words.nth(5).filter(|_| is_it)?.parse().ok()
    });
    inodes.next().unwrap()
}

/// The same in the network of a process.
pub(crate) fn is_listening_for(pid: &str, address: &Address) -> bool {
    let table = |name: &str| format!("/proc/{pid}/net/{name}");
    match address {
        // Listeners come first in the table, which may be long.
        Address::Tcp(address) => sockets(&table(if address.is_ipv6() { "tcp6" } else { "tcp" }))
            .take_while(|s| s.state == LISTEN)
            .any(|s| s.local_port == address.port()),
        Address::Unix(path) => fs::read_to_string(table("unix"))
            .unwrap_or_default()
            .lines()
            .filter(|line| line.ends_with(&*path.to_string_lossy()))
            .any(|line| line.split_ascii_whitespace().nth(3) == Some("00010000")),
    }
}

/// A process's name, or nothing when it has ended, waited for or not.
pub fn name(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let is_zombie = tail.trim_start().starts_with('Z');
    let (_, name) = head.split_once('(')?;
    (!is_zombie).then(|| name.to_owned())
}

/// Waits until all threads of a process wait for something, and have done so for a while.
#[track_caller]
pub fn waits(pid: u32) {
    const WHILE: Duration = Duration::from_millis(50);
    crate::until("a process that waits", || {
        let before = asleep(pid)?;
        std::thread::sleep(WHILE);
        (asleep(pid)? == before).then_some(())
    });
}

/// How often each thread of a process was switched away from, if all sleep now.
fn asleep(pid: u32) -> Option<Vec<String>> {
    let mut switches = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        if !of("State:")?.trim_start().starts_with('S') {
            return None;
        }
        switches.push(of("voluntary_ctxt_switches:")?.to_owned());
        switches.push(of("nonvoluntary_ctxt_switches:")?.to_owned());
    }
    Some(switches)
}

/// The session a process belongs to; its own id when it leads it.
pub fn session(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, tail) = stat.rsplit_once(')').unwrap();
    tail.split_ascii_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap()
}

/// The only child of a process.
pub fn child_of(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim_end().parse().unwrap()
}

/// The numbers of a line of `/proc/PID/status`: `Uid`, `Gid`, `Groups`.
pub fn ids(pid: u32, line: &str) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))
        .unwrap();
    line.split_ascii_whitespace()
        .map(|n| n.parse().unwrap())
        .collect()
}

/// The first of the processors that this process may run on, by number.
pub fn first_processor() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status
        .lines()
        .find_map(|l| l.strip_prefix("Cpus_allowed_list:"))
        .unwrap();
    let end = |c: char| !c.is_ascii_digit();
    allowed.trim().split(end).next().unwrap().to_owned()
}

/// Bytes of memory a process has resident.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:")?.strip_suffix("kB"))
        .unwrap();
    kib.trim().parse::<u64>().unwrap() * 1024
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Of the established TCP connections of a process, how many have a keep-alive
/// timer and how many have none. Asked while no data is on its way.
pub fn keep_alives(pid: u32) -> (usize, usize) {
    let (with, without): (Vec<_>, Vec<_>) = established(pid)
        .into_iter()
        .partition(|s| s.timer == KEEP_ALIVE);
    (with.len(), without.len())
}

fn established(pid: u32) -> Vec<Socket> {
    let inodes: HashSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            Some(link.strip_suffix(']')?.to_owned())
        })
        .collect();
    [TCP4, TCP6]
        .into_iter()
        .flat_map(sockets)
        .filter(|s| s.state == ESTABLISHED && inodes.contains(&s.inode))
        .collect()
}

/// How long it is until the keep-alive timers of a process's established TCP
/// connections go off.
pub fn keep_alive_timers(pid: u32) -> Vec<Duration> {
    let sockets = established(pid).into_iter();
    let with = sockets.filter(|s| s.timer == KEEP_ALIVE);
    with.map(|s| s.timer_left).collect()
}

const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";
const KEEP_ALIVE: &str = "02";

const TCP4: &str = "/proc/net/tcp";
const TCP6: &str = "/proc/net/tcp6";

struct Socket {
    local_port: u16,
    state: String,
    timer: String,
    timer_left: Duration,
    inode: String,
}

fn sockets(table: &str) -> impl Iterator<Item = Socket> {
    // Without IPv6 there is no table of it.
    let lines = File::open(table).ok().map(|f| BufReader::new(f).lines());
    lines
        .into_iter()
        .flatten()
        .skip(1)
        .map(|line| socket(&line.unwrap()).unwrap())
}

fn socket(line: &str) -> Option<Socket> {
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    let (timer, left) = fields.get(5)?.split_once(':')?;
    Some(Socket {
        local_port: u16::from_str_radix(port, 16).ok()?,
        state: (*fields.get(3)?).to_owned(),
        timer: timer.to_owned(),
        // In hundredths of a second.
        timer_left: Duration::from_millis(10 * u64::from_str_radix(left, 16).ok()?),
        inode: (*fields.get(9)?).to_owned(),
    })
}
