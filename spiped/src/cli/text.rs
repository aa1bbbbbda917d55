//! The usage and the introductions of the command lines, by hand; a test compares the usage with the
//! options. The texts of options are the doc comments of their fields.

pub(super) const SPIPED_USAGE: &str = "\
spiped {-e | -d} -s SOURCE -t TARGET -k KEYFILE [-DFj] [-b BIND]
              [-f | -g] [-n MAX] [-o SECONDS] [-p PIDFILE] [-r SECONDS | -R]
              [-u USER | :GROUP | USER:GROUP] [--drain SECONDS]
              [--idle SECONDS] [--max-connections-per-client MAX]
              [--max-unproved MAX] [--max-unproved-per-source MAX]
              [--protocol VERSION] [--sandbox MODE]
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
       spiped probe TARGET -k KEYFILE [-b BIND] [-f | -g] [-j] [-o SECONDS]
              [--protocol VERSION]
       spiped keygen FILE
       spiped {-v | --help}";

pub(super) const SPIPE_USAGE: &str = "\
spipe -t TARGET -k KEYFILE [-b BIND] [-f | -g] [-j] [-o SECONDS]
             [--protocol VERSION]
       spipe {-v | --help}";

pub(super) const PROBE_USAGE: &str = "\
spiped probe TARGET -k KEYFILE [-b BIND] [-f | -g] [-j] [-o SECONDS]
              [--protocol VERSION]";

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

Writes 32 random bytes to a new file that only its owner can read, or to
standard output for -. Copy it to the other end in a safe way: who holds it
gets through.
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
all that is wrong, in which case nothing has changed but that clients whose
keys were removed are out. That takes 30 seconds at most.
";

pub(super) const PROBE_INTRODUCTION: &str = "\
spiped probe - try whether the other end is there and holds the key

Connects to a spiped -d, shakes hands, sends nothing, and tells how long that
took. The other end dials its target for it, as for anybody who holds the key.
";

pub(super) const KEYS: &str = "\
The key file, the same at both ends; - is standard input. Any file of up to \
64 MiB will do, whatever it contains; spiped keygen makes a good one. For -d it may \
be a folder of keys, each of them a client's: NAME.key, or NAME.ANYTHING.key if \
there are several of one client. Other files are no keys. Log lines name the \
client, up to the first dot. The key files have to be regular, not empty and \
10,000 at most; with one that cannot be used, none is. A folder without a key is \
an error at the start; after SIGHUP it lets nobody in. SIGHUP reads keys again, \
but keeps one from a pipe, a device or standard input, which can be read once \
only. A key that cannot be read then, that is empty where it was not, or that is \
cut short (shorter than before and than 32 bytes) is an error, and the earlier \
one stays in use. A client whose key file was removed is let in no longer, and \
its open connections are closed, even if the rest of the reload fails.";
