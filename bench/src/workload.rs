//! The work that peers are measured at.

/// A kind of work and how much of it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bulk data from client to target on so many streams.
    Up(usize),
    /// Bulk data from target to client on so many streams.
    Down(usize),
    /// So many clients that each send a message and wait for its echo.
    Ping(usize),
    /// So many clients that connect, get one echo, close, and start over.
    Connect(usize),
    /// The same with a delay between the ends of the peer ([`wire`](crate::wire)): what counts is how
    /// often data goes to and fro.
    Far(usize),
    /// One client's ping-pong, alone and then while so many clients connect in a loop.
    Storm(usize),
    /// The same with connecting clients of low priority, so that they do not take CPU time from the
    /// peer, the target and the client that is measured.
    MildStorm(usize),
    /// So many connections that have had one echo and then rest.
    Idle(usize),
}

/// One line of the plan.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    /// Whether a quick run does it when no workload is named.
    pub(crate) quick: bool,
    /// Whether every round does it, or the first alone: memory hardly differs from round to round.
    pub(crate) every_round: bool,
}

const fn workload(name: &'static str, title: &'static str, kind: Kind, quick: bool) -> Workload {
    Workload {
        name,
        title,
        kind,
        quick,
        every_round: !matches!(kind, Kind::Idle(_)),
    }
}

/// All of them, in the order they are done and shown.
pub(crate) static ALL: [Workload; 15] = [
    workload("up-1", "1 stream up", Kind::Up(1), true),
    workload("up-8", "8 streams up", Kind::Up(8), false),
    workload("up-64", "64 streams up", Kind::Up(64), false),
    workload("down-1", "1 stream down", Kind::Down(1), true),
    workload("down-8", "8 streams down", Kind::Down(8), false),
    workload("down-64", "64 streams down", Kind::Down(64), false),
    workload("ping-1", "64-byte ping-pong, 1 client", Kind::Ping(1), true),
    workload(
        "ping-64",
        "64-byte ping-pong, 64 clients",
        Kind::Ping(64),
        true,
    ),
    workload(
        "connect-1",
        "new connections, 1 client",
        Kind::Connect(1),
        false,
    ),
    workload(
        "connect-32",
        "new connections, 32 clients",
        Kind::Connect(32),
        true,
    ),
    workload(
        "connect-far",
        "new connections, 20 ms each way between the ends, 8 clients",
        Kind::Far(8),
        true,
    ),
    workload(
        "storm",
        "ping-pong while 32 clients connect",
        Kind::Storm(32),
        true,
    ),
    workload(
        "storm-mild",
        "ping-pong while 32 clients of low priority connect",
        Kind::MildStorm(32),
        false,
    ),
    workload(
        "idle-1000",
        "1,000 idle connections",
        Kind::Idle(1_000),
        false,
    ),
    workload(
        "idle-9000",
        "9,000 idle connections",
        Kind::Idle(9_000),
        false,
    ),
];

/// Whether `wanted` names `name`, in full or up to one of its dashes.
pub(crate) fn named(name: &str, wanted: &str) -> bool {
    name.strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
