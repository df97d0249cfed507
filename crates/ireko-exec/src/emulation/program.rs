//! The smallest program of an architecture: it ends with exit code 0, and does nothing else.

/// Where it is loaded: a multiple of every page size there is, above what the kernel keeps free.
const ADDRESS: u64 = 0x0040_0000;

/// How an architecture's programs look.
struct Machine {
    /// Number in the ELF header.
    number: u16,
    /// Addresses of eight bytes.
    wide: bool,
    little: bool,
    flags: u32,
    /// `exit(0)`.
    code: &'static [u8],
}

/// The program of this architecture, in Go's spelling; nothing for one that nobody made a program for.
pub(super) fn program(architecture: &str) -> Option<Vec<u8>> {
    let machine = machine(architecture)?;
    let (header, segment) = if machine.wide { (64, 56) } else { (52, 32) };
    let begin = header + segment;
    let size = begin + machine.code.len() as u64;
    let mut out = Bytes { out: Vec::new(), wide: machine.wide, little: machine.little };
    let class = if machine.wide { 2 } else { 1 };
    let order = if machine.little { 1 } else { 2 };
    out.out.extend([0x7f, b'E', b'L', b'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.half(2);
    out.half(machine.number);
    out.word(1);
    out.address(ADDRESS + begin);
    out.address(header);
    out.address(0);
    out.word(machine.flags);
    for value in [header, segment, 1, 0, 0, 0] {
        out.half(u16::try_from(value).expect("sizes of headers are small"));
    }
    // One segment with the whole file, to be read and executed.
    out.word(1);
    if machine.wide {
        out.word(5);
    }
    for value in [0, ADDRESS, ADDRESS, size, size] {
        out.address(value);
    }
    if !machine.wide {
        out.word(5);
    }
    out.address(0x1_0000);
    out.out.extend(machine.code);
    Some(out.out)
}

fn machine(architecture: &str) -> Option<Machine> {
    let of = |number: u16, wide: bool, little: bool, flags: u32, code: &'static [u8]| {
        Some(Machine { number, wide, little, flags, code })
    };
    match architecture {
        "386" => of(3, false, true, 0, &[0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80]),
        "amd64" => of(62, true, true, 0, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]),
        "arm" => of(40, false, true, 0x0500_0000, &[0, 0, 0xa0, 0xe3, 1, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef]),
        "arm64" => of(183, true, true, 0, &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4]),
        "riscv64" => of(243, true, true, 0, &[0x13, 5, 0, 0, 0x93, 8, 0xd0, 5, 0x73, 0, 0, 0]),
        "ppc64le" => of(21, true, true, 2, &[1, 0, 0, 0x38, 0, 0, 0x60, 0x38, 2, 0, 0, 0x44]),
        "s390x" => of(22, true, false, 0, &[0xa7, 0x29, 0, 0, 0x0a, 1]),
        "mips64le" => of(8, true, true, 0x8000_0007, &[0xc2, 0x13, 2, 0x24, 0, 0, 4, 0x24, 0x0c, 0, 0, 0]),
        "mips64" => of(8, true, false, 0x8000_0007, &[0x24, 2, 0x13, 0xc2, 0x24, 4, 0, 0, 0, 0, 0, 0x0c]),
        "loong64" => of(258, true, true, 0x43, &[4, 0, 0x80, 2, 0x0b, 0x74, 0x81, 2, 0, 0, 0x2b, 0]),
        _ => None,
    }
}

/// Numbers as the machine has them.
struct Bytes {
    out: Vec<u8>,
    wide: bool,
    little: bool,
}

impl Bytes {
    fn half(&mut self, value: u16) {
        self.out.extend(if self.little { value.to_le_bytes() } else { value.to_be_bytes() });
    }

    fn word(&mut self, value: u32) {
        self.out.extend(if self.little { value.to_le_bytes() } else { value.to_be_bytes() });
    }

    fn address(&mut self, value: u64) {
        match self.wide {
            false => self.word(u32::try_from(value).expect("the program lies low")),
            true => self.out.extend(if self.little { value.to_le_bytes() } else { value.to_be_bytes() }),
        }
    }
}
