//! Encodes a line as a datagram for systemd's journal, which keeps its fields
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>).

use super::line::Line;
use super::{FACILITY_DAEMON, program};

/// The path of the journal's socket.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Returns the datagram of a line. It has the text as `MESSAGE`, the fields that syslog has too, and each
/// field of the line as `SPIPED_` and its name in upper case.
pub(super) fn datagram(line: &Line) -> Vec<u8> {
    let mut datagram = Vec::new();
    for (name, value) in [
        ("MESSAGE", line.text()),
        ("PRIORITY", line.level.severity().to_string()),
        ("SYSLOG_IDENTIFIER", program().to_owned()),
        ("SYSLOG_FACILITY", FACILITY_DAEMON.to_string()),
        ("SPIPED_CLASS", line.class.to_string()),
    ] {
        push(&mut datagram, name, &value);
    }
    for (name, value) in line.fields.iter() {
        let name = format!("SPIPED_{}", name.to_ascii_uppercase());
        push(&mut datagram, &name, &value.to_string());
    }
    datagram
}

/// Adds a field. A value that has a line break is sent with its length in 8 bytes, little-endian.
fn push(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend(name.bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend((value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend(value.bytes());
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Class, Level};
    use super::*;

    #[test]
    fn fields_have_names_of_their_own() {
        let line = Line::new(
            Level::Notice,
            Class::Closed,
            format_args!("well\ndone"),
            |fields| {
                fields.text("peer", "[::1]:5");
                fields.count("bytes_to_source", 7);
                fields.time("dial_seconds", Duration::from_millis(1500));
            },
        );
        assert_eq!(
            String::from_utf8(datagram(&line)).unwrap(),
            "MESSAGE=well\\ndone\nPRIORITY=5\nSYSLOG_IDENTIFIER=spiped\nSYSLOG_FACILITY=3\n\
             SPIPED_CLASS=closed\nSPIPED_PEER=[::1]:5\nSPIPED_BYTES_TO_SOURCE=7\n\
             SPIPED_DIAL_SECONDS=1.500000\n"
        );
    }

    #[test]
    fn a_line_break_in_a_value_makes_no_field() {
        let value = "x\nPRIORITY=0";
        let line = Line::new(Level::Info, Class::Daemon, format_args!(""), |fields| {
            fields.text("key", value);
        });
        let datagram = datagram(&line);
        let framed = b"SPIPED_KEY\n\x0c\0\0\0\0\0\0\0x\nPRIORITY=0\n";
        assert!(datagram.ends_with(framed), "{datagram:?}");
    }
}
