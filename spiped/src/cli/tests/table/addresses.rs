//! Command lines of `spiped`: addresses.

use super::Outcome::{Daemon, Detached, Fails, Refused, Up};
use super::{Row, differ, same};

const BAD_PORT: &str = "a port is digits";
const ANY_PORT: &str = "port 0 lets the system choose, with an IP address as with a name";
const NO_TARGET: &str = "nothing can connect to port 0";
const NO_ZONE: &str = "a link-local address needs its interface";
const STALE: &str = "a unix socket that nobody listens on any more may be replaced";
const HOPELESS: &str = "waiting makes no address of it";

/// Sources, targets, and waiting for them.
pub(crate) const SPIPED_ADDRESSES: &[Row] = &[
    // -s
    same(Up, "-eF -t @T -k @K -s 127.0.0.1:@P"),
    same(Up, "-eF -t @T -k @K -s [127.0.0.1]:@P"),
    same(Up, "-eF -t @T -k @K -s localhost:@P"),
    same(Up, "-eF -t @T -k @K -s 127.1:@P"),
    same(Up, "-eF -t @T -k @K -s [::1]:@P"),
    same(Up, "-eF -t @T -k @K -s [0::1]:@P"),
    same(Up, "-eF -t @T -k @K -s ::1:@P"),
    same(Up, "-eF -t @T -k @K -s @107"),
    same(Daemon, "-e -t @T -k @K -s 127.0.0.1:@P"),
    same(Daemon, "-e -t @T -k @K -s [127.0.0.1]:@P"),
    same(Fails, "-eF -t @T -k @K -s @108"),
    same(Fails, "-eF -t @T -k @K -s @D/missing/socket"),
    same(Fails, "-eF -t @T -k @K -s @D/file"),
    same(Fails, "-eF -t @T -k @K -s @D/adir"),
    same(Fails, "-eF -t @T -k @K -s @D/live"),
    differ(Up, Fails, STALE, "-eF -t @T -k @K -s @D/stale"),
    same(Fails, "-eF -t @T -k @K -s [192.0.2.1]:@P"),
    same(Fails, "-eF -t @T -k @K -s ''"),
    same(Fails, "-eF -t @T -k @K -s -"),
    same(Fails, "-eF -t @T -k @K -s localhost"),
    same(Fails, "-eF -t @T -k @K -s ./socket"),
    same(Fails, "-eF -t @T -k @K -s :@P"),
    same(Fails, "-eF -t @T -k @K -s []:@P"),
    same(Fails, "-eF -t @T -k @K -s []:"),
    same(Fails, "-eF -t @T -k @K -s [:@P"),
    same(Fails, "-eF -t @T -k @K -s [127.0.0.1]"),
    same(Fails, "-eF -t @T -k @K -s [127.0.0.1]:"),
    same(Fails, "-eF -t @T -k @K -s [127.0.0.1]@P"),
    same(Fails, "-eF -t @T -k @K -s [127.0.0.1:@P"),
    same(Fails, "-eF -t @T -k @K -s [127.0.0.1]␣:@P"),
    same(Fails, "-eF -t @T -k @K -s [127.0.0.1]:@P:@P"),
    same(Fails, "-eF -t @T -k @K -s [localhost]:@P"),
    same(Fails, "-eF -t @T -k @K -s [127.1]:@P"),
    same(Fails, "-eF -t @T -k @K -s [127.0.0.1.5]:@P"),
    same(Fails, "-eF -t @T -k @K -s [::1]"),
    same(Fails, "-eF -t @T -k @K -s [::1]:65536"),
    same(Fails, "-eF -t @T -k @K -s [::1]:99999"),
    same(Fails, "-eF -t @T -k @K -s [::1]:-1"),
    same(Fails, "-eF -t @T -k @K -s [::1]:http"),
    same(Fails, "-eF -t @T -k @K -s [127.0.0.1]:0x50"),
    same(Fails, "-eF -t @T -k @K -s 127.0.0.1:@P␣"),
    same(Fails, "-eF -t @T -k @K -s 127.0.0.1:nosuchservice"),
    differ(Fails, Up, BAD_PORT, "-eF -t @T -k @K -s [127.0.0.1]:+@P"),
    differ(Fails, Up, BAD_PORT, "-eF -t @T -k @K -s [127.0.0.1]:␣@P"),
    differ(Fails, Up, BAD_PORT, "-eF -t @T -k @K -s localhost:+@P"),
    differ(Fails, Up, BAD_PORT, "-eF -t @T -k @K -s localhost:␣@P"),
    same(Up, "-eF -t @T -k @K -s [127.0.0.1]:0@P"),
    same(Up, "-eF -t @T -k @K -s localhost:0@P"),
    differ(
        Detached,
        Fails,
        ANY_PORT,
        "-e -t @T -k @K -s [127.0.0.1]:0 -p @D/pid",
    ),
    same(Detached, "-e -t @T -k @K -s 127.0.0.1:0 -p @D/pid"),
    // Not UTF-8: an address cannot be, so this is found a little earlier.
    differ(Refused, Fails, "an address is text", "-eF -t @T -k @K -s ÿ"),
    // -t
    same(Up, "-eF -s @S -k @K -t 127.0.0.1:@Q"),
    same(Up, "-eF -s @S -k @K -t [127.0.0.1]:@Q"),
    same(Up, "-eF -s @S -k @K -t [::1]:@Q"),
    same(Up, "-eF -s @S -k @K -t localhost:@Q"),
    same(Up, "-eF -s @S -k @K -t @D/missing/socket"),
    same(Up, "-eF -s @S -k @K -t @D/file"),
    same(Up, "-eF -s @S -k @K -t @107"),
    same(Fails, "-eF -s @S -k @K -t @108"),
    same(Fails, "-eF -s @S -k @K -t ''"),
    same(Fails, "-eF -s @S -k @K -t localhost"),
    same(Fails, "-eF -s @S -k @K -t :@Q"),
    same(Fails, "-eF -s @S -k @K -t [::1]"),
    same(Fails, "-eF -s @S -k @K -t [::1]:"),
    same(Fails, "-eF -s @S -k @K -t [::1]:99999"),
    same(Fails, "-eF -s @S -k @K -t 127.0.0.1:nosuchservice"),
    same(Fails, "-e -s @S -k @K -t 127.0.0.1:nosuchservice"),
    same(Up, "-eF -s @S -k @K -t localhost:http"),
    same(Up, "-eF -s @S -k @K -t localhost:0@Q"),
    differ(Fails, Up, NO_TARGET, "-eF -s @S -k @K -t localhost:"),
    same(Fails, "-eF -s @S -k @K -t localhost:@Q␣http"),
    differ(Fails, Up, BAD_PORT, "-eF -s @S -k @K -t localhost:+70000"),
    differ(Fails, Up, BAD_PORT, "-eF -s @S -k @K -t localhost:65536"),
    differ(Fails, Up, BAD_PORT, "-eF -s @S -k @K -t localhost:␣@Q"),
    same(Fails, "-eF -s @S -k @K -t [127.0.0.1]:0"),
    differ(Fails, Up, NO_TARGET, "-eF -s @S -k @K -t localhost:0"),
    same(Up, "-eF -s @S -k @K -t fe80::1%lo:@Q"),
    differ(
        Up,
        Fails,
        "an interface may stand in brackets too",
        "-eF -s @S -k @K -t [fe80::1%lo]:@Q",
    ),
    differ(Fails, Up, NO_ZONE, "-eF -s @S -k @K -t [fe80::1]:@Q"),
    differ(Fails, Up, NO_ZONE, "-eF -s @S -k @K -t fe80::1:@Q"),
    // What is looked at first makes no difference to the exit status.
    same(Fails, "-eF -s bad -t bad -k @D/missing"),
    same(Fails, "-eF -s @S -t bad -k @D/missing"),
    same(Fails, "-eF -s @D/live -t @T -k @D/missing"),
    same(Refused, "-eF -s bad -t bad -k @D/missing stray"),
    same(Refused, "-eF -s bad -t bad -k @D/missing -o x"),
    // -D
    same(Detached, "-eD -s @S -k @K -t 127.0.0.1:nosuchservice"),
    same(
        Detached,
        "-eD -s 127.0.0.1:nosuchservice -k @K -t @T -p @D/pid",
    ),
    same(Fails, "-eD @B -p @D/missing/pid"),
    differ(
        Fails,
        Detached,
        HOPELESS,
        "-eD -s bad -t @T -k @K -p @D/pid",
    ),
    differ(
        Fails,
        Detached,
        HOPELESS,
        "-eD -s @S -t bad -k @K -p @D/pid",
    ),
    differ(
        Fails,
        Detached,
        HOPELESS,
        "-eD -s @S -t [::1]:99999 -k @K -p @D/pid",
    ),
];

/// Command lines of `spiped` with `-b`. Here `theirs` is for C spiped 1.6.4; 1.6.2 has no `-b` and
/// refuses them all.
pub(crate) const SPIPED_BIND: &[Row] = &[
    same(Up, "-eF -s @S -t 127.0.0.1:@Q -k @K -b 127.0.0.1"),
    same(Up, "-eF -s @S -t 127.0.0.1:@Q -k @K -b [127.0.0.1]:@P"),
    same(Up, "-eF -s @S -t [::1]:@Q -k @K -b [::1]:@P"),
    differ(
        Up,
        Fails,
        "an address in brackets needs a port no more than one without",
        "-eF -s @S -t 127.0.0.1:@Q -k @K -b [127.0.0.1]",
    ),
    same(Fails, "@E -b [localhost]:@P"),
    same(Fails, "@E -b [127.0.0.1]:99999"),
    same(Refused, "@E -b"),
    same(Refused, "@E -b 127.0.0.1 -b 127.0.0.1"),
];
