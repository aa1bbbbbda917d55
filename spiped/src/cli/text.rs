//! The longer texts of the command lines. What an option's `--help` line leaves out stands in its
//! long help, which goes into the man page.

pub(super) const SPIPED_USAGE: &str = "\
spiped {-e | -d} -s SOURCE -t TARGET -k KEYFILE [-DFj] [-b BIND]
              [-f | -g] [-n MAX] [-o SECONDS] [-p PIDFILE] [-r SECONDS | -R]
              [-u USER | :GROUP | USER:GROUP] [--drain SECONDS]
              [--idle SECONDS] [--max-connections-per-client MAX]
              [--max-unproved MAX] [--max-unproved-per-source MAX]
              [--sandbox MODE]
              [--log-level LEVEL] [--log-format FORMAT | --syslog]
              [--metrics ADDRESS] [--control PATH] [--proxy-protocol VERSION]
              [--accept-proxy NETWORKS]
       spiped --config FILE [-DF] [-p PIDFILE] [-u USER | :GROUP | USER:GROUP]
              [--drain SECONDS] [--sandbox MODE]
              [--log-level LEVEL] [--log-format FORMAT | --syslog]
              [--metrics ADDRESS] [--control PATH]
       spiped check FILE
       spiped status --control PATH [--connections | --json]
       spiped reload --control PATH
       spiped probe TARGET -k KEYFILE [-b BIND] [-f | -g] [-o SECONDS]
       spiped keygen FILE
       spiped {-v | --help}";

pub(super) const SPIPE_USAGE: &str = "\
spipe -t TARGET -k KEYFILE [-b BIND] [-f | -g] [-j] [-o SECONDS]
       spipe {-v | --help}";

pub(super) const SPIPED_INTRODUCTION: &str = "\
spiped - secure pipe daemon

Two spipeds join two machines by an encrypted and authenticated pipe. One (-e)
takes plain connections and sends them on encrypted. The other (-d) takes those
and sends them on plain, to the server that is meant. Who holds the key file
gets through, and nobody else.

Example: clients on host A are to reach the Redis server on host B.
  Make a key, and copy it to both hosts in a safe way, such as scp:
      spiped keygen redis.key
  On B, take encrypted connections at port 8025, for Redis:
      spiped -d -s [0.0.0.0]:8025 -t [127.0.0.1]:6379 -k redis.key
  On A, take plain connections at port 6379, for host B:
      spiped -e -s [127.0.0.1]:6379 -t b.example.org:8025 -k redis.key
  Now redis-cli on A talks to Redis on B.
";

pub(super) const SPIPED_AFTER: &str = "\
An ADDRESS is host:port, [1.2.3.4]:port, [ipv6::address]:port, or the absolute
path of a unix socket. SECONDS may have a decimal point. Flags may be combined
(-dF), values attached (-o2.5, --timeout=2.5); each option may be given once.
";

pub(super) const SPIPE_INTRODUCTION: &str = "\
spipe - client of the secure pipe daemon

Opens one encrypted and authenticated connection to a spiped -d. What it reads
from standard input goes to the peer; what the peer sends, to standard output.

Example: ask the Redis server behind the spiped at b.example.org:8025.
      echo PING | spipe -t b.example.org:8025 -k redis.key
Example: log in by ssh through a spiped at port 8022 (in ~/.ssh/config).
      ProxyCommand spipe -t %h:8022 -k ~/.ssh/spiped.key
";

pub(super) const ADDRESS_FORMS: &str = "\
An ADDRESS is host:port, [1.2.3.4]:port, [ipv6::address]:port, or the absolute
path of a unix socket. SECONDS may have a decimal point. Flags may be combined
(-gj), values attached (-o2.5, --timeout=2.5); each option may be given once.
";

pub(super) const KEYGEN_INTRODUCTION: &str = "\
spiped keygen - make a key file

Writes 32 random bytes to a new file that only its owner can read. Copy it to
the other end in a safe way: who holds it gets through.
";

pub(super) const CHECK_INTRODUCTION: &str = "\
spiped check - check a configuration file

Says all that is wrong with it, key files that cannot be read included, each
with line and column; or else which pipes would run.
";

pub(super) const STATUS_INTRODUCTION: &str = "\
spiped status - show what a daemon does

Asks a daemon that runs with --control PATH, and prints its pipes: what is
open, what has ended, what has failed, and how much has passed.
";

pub(super) const RELOAD_INTRODUCTION: &str = "\
spiped reload - have a daemon read its file and keys again

As SIGHUP does, but waits for the outcome and prints it: what has changed, or
all that is wrong, in which case nothing has changed.
";

pub(super) const PROBE_INTRODUCTION: &str = "\
spiped probe - try whether the other end is there and holds the key

Connects to a spiped -d, shakes hands, sends nothing, and tells how long that
took. The other end dials its target for it, as for anybody who holds the key.
";

pub(super) const SOURCE: &str = "\
Listen at this address. A host name that leads to several has the first of them \
listened at. It is looked up again as -r says, and followed when it moves.";

pub(super) const TARGET: &str = "\
Connect to this address.";

pub(super) const KEY: &str = "\
The key file, the same at both ends; - is standard input. Any file will do, \
whatever its length and content; spiped keygen makes a good one.";

pub(super) const KEYS: &str = "\
The key file, the same at both ends; - is standard input. Any file will do, \
whatever its length and content; spiped keygen makes a good one. For -d it may \
be a folder of keys, each of them a client's: NAME.key, or NAME.ANYTHING.key if \
there are several of one client. Other files are no keys. Log lines name the \
client, up to the first dot. The key files have to be regular, not empty and \
10,000 at most; with one that cannot be used, none is. After SIGHUP a client \
whose key was removed is let in no longer, and its open connections are closed.";

pub(super) const CONFIG: &str = "\
Run all pipes that this file describes, in TOML: a table [pipe.NAME] for each, \
and [defaults] for what they share. A setting is named like the long option that \
it stands for, such as max-connections = 200; mode is \"encrypt\" or \"decrypt\". \
target may be an array of several addresses: with balance = \"order\", the default, \
a connection goes to the first that works, with \"round-robin\" to each in turn; \
one that cannot be connected to is passed over for 10 seconds. \
With mode = \"decrypt\", key may be an array too, of key files and of folders of \
them, such as [\"alice.key\", \"bob.key\"]: as in a folder, each is that of the \
client that it is called after, up to the first dot, whatever it ends in. \
Relative paths start from the folder of the file. SIGHUP reads the file and the \
keys again: pipes that are new, changed or gone take effect, connections that \
are open stay, and with a mistake in the file nothing changes. Try spiped check \
first.";

pub(super) const BIND: &str = "\
Connect to the target from this local address: 1.2.3.4, [1.2.3.4], \
[ipv6::address] or a host name, each with or without a port. Without one the \
system chooses a port for each connection.";

pub(super) const FAST: &str = "\
Save time in the handshake by giving up forward secrecy: who records the \
connection and gets hold of the key file later can then read it.";

pub(super) const REQUIRE_FORWARD_SECRECY: &str = "\
Require forward secrecy: refuse a peer that uses -f.";

pub(super) const TIMEOUT: &str = "\
Give up connecting to the target, or a handshake, after this long. The default \
is 5 seconds, and 0 stands for it.";

pub(super) const MAX_CONNECTIONS: &str = "\
Have at most this many connections at once; the default is 100. At the limit \
spiped warns and stops accepting; connections that wait are served as others \
end. 0 is no limit, and so is a negative number. A number that starts with 0 \
is octal, with 0x hexadecimal.";

pub(super) const MAX_CONNECTIONS_PER_CLIENT: &str = "\
With -d and keys of clients, have at most this many connections of each client \
at once, those included that wait for their turn at the limit of -n. One more is \
closed, with a line in the log. 0 is no limit, and the default: one client may \
then take all that -n allows.";

pub(super) const MAX_UNPROVED: &str = "\
With -d, let at most this many connections be that have not proved yet that \
they hold the key; the default is 4096. For one more, another one is closed: \
one that has sent nothing if there is any, and the oldest. They take no \
connection of -n and none to the target. However many are asked for, 0 for no \
limit, they get at most half of the open files that those of -n leave.";

pub(super) const MAX_UNPROVED_PER_SOURCE: &str = "\
With -d, the same for those from one IPv4 address or one IPv6 network of 64 \
bits. For one more, one of its own is closed. 0 is no limit, and the default: \
a source is then left alone until the bound for all is reached, when one that \
has half of all places loses its own.";

pub(super) const IDLE: &str = "\
Close a connection, by reset, when no data has come from either side for this \
long, also if that is because one side does not read. 0 is no limit, and the \
default.";

pub(super) const PROXY_PROTOCOL: &str = "\
Put a header of the PROXY protocol, v1 or v2, ahead of the stream to the target, \
which has to expect it. It has the address of whoever has connected: with -d \
that is the encrypted peer, with -e the client, and the header goes through the \
pipe to the target of the other end. With -d, a folder of keys and v2, it has \
the client's name too, as a field of type 0xE0. For a client of a unix socket \
it is PROXY UNKNOWN, or LOCAL.";

pub(super) const ACCEPT_PROXY: &str = "\
Listen behind a balancer: each connection has to begin with a header of the \
PROXY protocol, v1 or v2, and has to come from one of these networks, such as \
10.0.0.0/8,127.0.0.1; others are closed, with a line in the log. The word unix \
stands for the peers of a unix socket, that is, for whoever may write to its \
file. The address in the header counts as that of the client, in the log, for \
--max-unproved-per-source and for --proxy-protocol. Until the header is there, a \
connection counts for --max-unproved and not for -n. It has as long as -o says; \
with -d, the handshake too has to be over by then.";

pub(super) const WAIT_FOR_DNS: &str = "\
Start even if names cannot be looked up yet: go into the background first, and \
try again each second until it works. When spiped returns, it may not accept \
connections yet.";

pub(super) const RESOLVE_INTERVAL: &str = "\
Look all names up again this often, and after SIGHUP. The default is 60 seconds, \
and 0 stands for it. Addresses that were found last stay in use while a look-up \
fails.";

pub(super) const PIDFILE: &str = "\
Write the process id to this file. The default is the source address as given \
with .pid appended, so that spiped -s [127.0.0.1]:80 writes [127.0.0.1]:80.pid \
to the current directory. With -F, no pidfile is written.";

pub(super) const USER: &str = "\
Become USER, :GROUP or USER:GROUP, each a name or a number, after binding the \
source address, reading the key and writing the pidfile.";

pub(super) const SYSLOG: &str = "\
Send warnings to syslog in place of standard error, once start-up is over.";

pub(super) const METRICS: &str = "\
Serve HTTP at this address, or unix socket: /metrics for Prometheus and \
whatever else reads OpenMetrics, /healthz, and /readyz, which says 503 before \
pipes listen and while they drain. Anybody who can connect may ask.";

pub(super) const CONTROL: &str = "\
Make a unix socket at this path for spiped status and spiped reload. Only the \
user of the daemon and root may use it.";

pub(super) const LOG_FORMAT: &str = "\
Log in this form. plain is a line of text on standard error. json is an object \
a line on standard error, with time, level, class, message and further fields, \
such as pipe, peer, key, outcome, bytes_from_source, bytes_to_source and \
duration_seconds for a connection. journal goes to systemd's journal, which \
gets the same fields in upper case behind SPIPED_ (journalctl \
SPIPED_OUTCOME=wrong-key). The default is journal where standard error goes \
there anyway, else plain. In the background, plain and json want standard error \
to be a file.";

pub(super) const LOG_LEVEL: &str = "\
Log what is at least this grave: error, warning (a connection has failed), \
notice (what the daemon does) or info (each connection that has ended well: \
who, how much, how long). The default is notice. Of each kind of line only some \
are logged when there are many, and then how many were held back: 2 a second \
after the first 10, and of connections that have ended well 200 a second after \
the first 1000.";

pub(super) const DRAIN: &str = "\
After SIGTERM, give connections that are open this long to end; reset the rest \
and log how many they were. 0 resets them at once. Without this option they \
have all the time they need.";

pub(super) const SANDBOX: &str = "\
Once listening, give up what is not needed to serve: files, ports, system calls. \
The default, on, takes what the system has; require refuses to start without \
all of it; off gives up nothing, for a debugger.";
