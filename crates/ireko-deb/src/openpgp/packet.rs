//! Packets (RFC 9580, section 4), and the numbers inside them.

/// Bytes that are no packets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not OpenPGP data: {0}")]
pub(crate) struct Broken(pub(crate) &'static str);

/// Tags of packets that are looked into.
pub(crate) const SIGNATURE: u8 = 2;
pub(crate) const PUBLIC_KEY: u8 = 6;
pub(crate) const USER_ID: u8 = 13;
pub(crate) const PUBLIC_SUBKEY: u8 = 14;
pub(crate) const USER_ATTRIBUTE: u8 = 17;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) tag: u8,
    pub(crate) body: &'a [u8],
}

/// The packets of a block, one after the other. After an error there is none.
pub(crate) struct Packets<'a>(Reader<'a>);

/// Reads a block.
pub(crate) fn packets(bytes: &[u8]) -> Packets<'_> {
    Packets(Reader(bytes))
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let packet = self.0.packet();
        if packet.is_err() {
            self.0 = Reader(&[]);
        }
        Some(packet)
    }
}

/// Takes bytes from the front.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Broken("it ends in the middle"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    /// A number of so many bytes, at most four.
    pub(crate) fn number(&mut self, bytes: usize) -> Result<u32, Broken> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// As many bytes as a number of `width` bytes before them says.
    pub(crate) fn counted(&mut self, width: usize) -> Result<&'a [u8], Broken> {
        let count = self.number(width)?;
        self.take(usize::try_from(count).map_err(|_| Broken("a length is too large"))?)
    }

    /// A large number (section 3.2), without the zeros it may begin with.
    pub(crate) fn mpi(&mut self) -> Result<&'a [u8], Broken> {
        let bits = self.number(2)? as usize;
        let bytes = self.take(bits.div_ceil(8))?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(&bytes[zeros..])
    }

    fn packet(&mut self) -> Result<Packet<'a>, Broken> {
        let head = self.byte()?;
        if head & 0x80 == 0 {
            return Err(Broken("no packet begins where one should"));
        }
        if head & 0x40 != 0 {
            let length = self.length(Partial::Refused)?;
            return Ok(Packet { tag: head & 0x3f, body: self.take(length)? });
        }
        let tag = head >> 2 & 0x0f;
        let body = match head & 3 {
            0 => self.counted(1)?,
            1 => self.counted(2)?,
            2 => self.counted(4)?,
            _ => return Err(Broken("a packet has no length, which only data may have")),
        };
        Ok(Packet { tag, body })
    }

    /// The length of a packet or of a subpacket, which differ in what the numbers from 224 on mean.
    pub(crate) fn length(&mut self, partial: Partial) -> Result<usize, Broken> {
        let first = usize::from(self.byte()?);
        match (first, partial) {
            (0..=191, _) => Ok(first),
            (255, _) => usize::try_from(self.number(4)?).map_err(|_| Broken("a length is too large")),
            (224..=254, Partial::Refused) => Err(Broken("a packet comes in parts, which only data may")),
            _ => Ok(((first - 192) << 8) + usize::from(self.byte()?) + 192),
        }
    }
}

/// What the first byte of a length from 224 to 254 says.
#[derive(Clone, Copy)]
pub(crate) enum Partial {
    /// In a packet: the first of several parts.
    Refused,
    /// In a subpacket: a length of two bytes like the others.
    Unknown,
}
