//! The bytes of a message, as far as they are there.

/// A message of the handshake, whole or in part. All of it is public.
#[derive(Debug)]
pub(super) struct Message {
    bytes: Vec<u8>,
    len: usize,
}

impl Message {
    pub(super) fn expecting(len: usize) -> Self {
        Self {
            bytes: Vec::new(),
            len,
        }
    }

    pub(super) fn holding(bytes: &[u8]) -> Self {
        let mut message = Self::expecting(0);
        message.append(bytes);
        message
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.len = self.bytes.len();
    }

    pub(super) fn missing(&self) -> usize {
        self.len.saturating_sub(self.bytes.len())
    }

    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        let used = input.len().min(self.missing());
        self.bytes.extend(input.iter().take(used));
        used
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
