//! What the loader reads of an ELF file: System V ABI, chapters 4 and 5.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;

use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Sym};
use object::{Endianness, FileKind, ReadCache, ReadRef, StringTable};

/// What a program runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine {
    /// `e_machine`.
    pub code: u16,
    /// Words of 64 bits.
    pub is_64: bool,
    /// The lowest byte comes first.
    pub is_little: bool,
}

impl Machine {
    /// The words of Debian's directories of libraries for it.
    pub(crate) fn triplet(self) -> Option<&'static str> {
        Some(match (elf::Machine(self.code), self.is_64, self.is_little) {
            (elf::EM_X86_64, true, _) => "x86_64-linux-gnu",
            (elf::EM_386, ..) => "i386-linux-gnu",
            (elf::EM_AARCH64, _, true) => "aarch64-linux-gnu",
            (elf::EM_ARM, ..) => "arm-linux-gnueabihf",
            (elf::EM_PPC64, _, true) => "powerpc64le-linux-gnu",
            (elf::EM_RISCV, true, _) => "riscv64-linux-gnu",
            (elf::EM_S390, true, _) => "s390x-linux-gnu",
            (elf::EM_LOONGARCH, true, _) => "loongarch64-linux-gnu",
            _ => return None,
        })
    }

    /// Its short name, which is also what `$PLATFORM` stands for; `unknown` for one that Debian has no libraries for.
    pub fn name(self) -> &'static str {
        self.triplet().and_then(|triplet| triplet.split('-').next()).unwrap_or("unknown")
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.triplet() {
            Some(_) => out.write_str(self.name()),
            None => write!(out, "machine {} of {} bits", self.code, if self.is_64 { 64 } else { 32 }),
        }
    }
}

/// One ELF file, as far as the loader cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(crate) machine: Machine,
    /// `PT_INTERP`.
    pub(crate) interpreter: Option<String>,
    pub(crate) needed: Vec<String>,
    pub(crate) soname: Option<String>,
    pub(crate) rpath: Option<String>,
    pub(crate) runpath: Option<String>,
    /// `DF_1_NODEFLIB`: neither the cache nor the built-in directories.
    pub(crate) no_defaults: bool,
    /// Names of functions that it takes from others.
    pub(crate) imports: BTreeSet<String>,
}

/// Why a file could not be read as ELF.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is none.
    Foreign,
    Damaged(String),
}

impl From<object::read::Error> for Unread {
    fn from(error: object::read::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Elf {
    /// Reads a file that begins as ELF files do.
    pub(crate) fn read(file: &File) -> Result<Self, Unread> {
        let cache = ReadCache::new(file);
        match FileKind::parse(&cache) {
            Ok(FileKind::Elf32) => parse::<elf::FileHeader32<Endianness>, _>(&cache, false),
            Ok(FileKind::Elf64) => parse::<elf::FileHeader64<Endianness>, _>(&cache, true),
            _ => Err(Unread::Foreign),
        }
    }

    /// Whether the loader of its system has anything to do.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.interpreter.is_some() || !self.needed.is_empty()
    }
}

/// Whether a file begins as ELF files do.
pub(crate) fn is_elf(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut magic = [0; 4];
    match file.read_exact_at(&mut magic, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| magic == elf::ELFMAG),
    }
}

fn parse<'data, H, R>(data: R, is_64: bool) -> Result<Elf, Unread>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let code = header.e_machine(endian).0;
    let mut read = Elf {
        machine: Machine { code, is_64, is_little: endian == Endianness::Little },
        interpreter: None,
        needed: Vec::new(),
        soname: None,
        rpath: None,
        runpath: None,
        no_defaults: false,
        imports: BTreeSet::new(),
    };
    let segments = header.program_headers(endian, data)?;
    for segment in segments {
        if let Some(bytes) = segment.interpreter(endian, data)? {
            read.interpreter = Some(text(bytes)?);
        }
        if let Some(entries) = segment.dynamic(endian, data)? {
            read.dynamic::<H, R>(entries, (endian, segments, data))?;
        }
    }
    read.import::<H, R>(header, endian, data)?;
    Ok(read)
}

impl Elf {
    fn dynamic<'data, H, R>(
        &mut self,
        entries: &[H::Dyn],
        (endian, segments, data): (Endianness, &[H::ProgramHeader], R),
    ) -> Result<(), Unread>
    where
        H: FileHeader<Endian = Endianness>,
        R: ReadRef<'data>,
    {
        let entries: Vec<(elf::DynamicTag, u64)> = entries
            .iter()
            .map(|entry| (entry.tag(endian), entry.val(endian)))
            .take_while(|(tag, _)| *tag != elf::DT_NULL)
            .collect();
        let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
            return Ok(());
        };
        let offset = offset_of::<H>(segments, endian, address)
            .ok_or_else(|| Unread::Damaged("its table of names lies in no segment".to_owned()))?;
        let names = StringTable::new(data, offset, offset.saturating_add(size));
        let name = |at: u64| {
            let at = u32::try_from(at).ok().and_then(|at| names.get(at).ok());
            text(at.ok_or_else(|| Unread::Damaged("a name lies outside the table of names".to_owned()))?)
        };
        for (tag, value) in &entries {
            match *tag {
                elf::DT_NEEDED => self.needed.push(name(*value)?),
                elf::DT_SONAME => self.soname = Some(name(*value)?),
                elf::DT_RPATH => self.rpath = Some(name(*value)?),
                elf::DT_RUNPATH => self.runpath = Some(name(*value)?),
                elf::DT_FLAGS_1 => self.no_defaults = value & elf::DF_1_NODEFLIB.0 != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn import<'data, H, R>(&mut self, header: &H, endian: Endianness, data: R) -> Result<(), Unread>
    where
        H: FileHeader<Endian = Endianness>,
        R: ReadRef<'data>,
    {
        // Sections are for people and linkers; a file without them runs all the same.
        let Ok(sections) = header.sections(endian, data) else { return Ok(()) };
        let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM)?;
        for symbol in symbols.iter().filter(|symbol| symbol.is_undefined(endian)) {
            if let Ok(name) = symbols.symbol_name(endian, symbol) {
                self.imports.insert(String::from_utf8_lossy(name).into_owned());
            }
        }
        Ok(())
    }
}

/// Where in the file an address lies.
fn offset_of<H: FileHeader<Endian = Endianness>>(
    segments: &[H::ProgramHeader],
    endian: Endianness,
    address: u64,
) -> Option<u64> {
    segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
        let (begin, length): (u64, u64) = (segment.p_vaddr(endian).into(), segment.p_filesz(endian).into());
        let into = address.checked_sub(begin).filter(|into| *into < length)?;
        into.checked_add(segment.p_offset(endian).into())
    })
}

fn text(bytes: &[u8]) -> Result<String, Unread> {
    let odd = || Unread::Damaged(format!("the name `{}` is no UTF-8", String::from_utf8_lossy(bytes)));
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| odd())
}
