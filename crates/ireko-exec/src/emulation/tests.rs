//! The programs, what the kernel says of emulators, and which platforms are this machine's own.

use super::*;

#[test]
fn what_the_kernel_says_is_read() {
    let text = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";
    let handler = Handler::parse("qemu-aarch64", text);
    assert!(handler.enabled && handler.flags.contains('F'), "{handler:?}");
    let takes: Vec<&str> = EMULATED
        .into_iter()
        .filter(|architecture| handler.takes(&program::program(architecture).unwrap()))
        .collect();
    assert_eq!(takes, ["arm64"]);
    assert!(!handler.takes(b"\x7fELF"), "a short file is no program");
    assert!(!Handler::parse("python", "disabled\nextension .py\n").takes(b"\x7fELF"));
}

#[test]
fn every_program_is_one() {
    for architecture in EMULATED {
        let bytes = program::program(architecture).unwrap();
        assert_eq!(&bytes[..4], b"\x7fELF", "{architecture}");
        assert!(bytes.len() < 200, "{architecture}");
    }
    assert_eq!(program::program("sparc64"), None);
}

#[test]
fn levels_of_one_instruction_set_are_native() {
    let check = |host: &str, natives: &str, others: &str| {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (list, native) in [(natives, true), (others, false)] {
            for other in list.split_whitespace() {
                assert_eq!(is_native(&platform(other), &platform(host)), native, "{other} on {host}");
            }
        }
    };
    check("linux/amd64", "linux/amd64 linux/amd64/v3", "linux/386 linux/arm64 windows/amd64");
    check("linux/arm64", "linux/arm64/v8 linux/arm64/v9", "linux/arm/v7 linux/amd64");
    check("linux/arm/v6", "linux/arm/v6 linux/arm/v5", "linux/arm/v7 linux/arm64");
    check("linux/riscv64", "linux/riscv64", "linux/amd64");
}

#[test]
fn emulators_take_them() {
    const EMULATORS: [&str; 10] = [
        "x86_64",
        "i386",
        "aarch64",
        "arm",
        "riscv64",
        "ppc64le",
        "s390x",
        "mips64el",
        "mips64",
        "loongarch64",
    ];
    let dir = tempfile::tempdir().unwrap();
    for (architecture, emulator) in EMULATED.iter().zip(EMULATORS) {
        let emulator = format!("/usr/bin/qemu-{emulator}-static");
        if !Path::new(&emulator).exists() {
            eprintln!("skipped because there is no `{emulator}` (tests/install.sh)");
            continue;
        }
        let path = dir.path().join(architecture);
        std::fs::write(&path, program::program(architecture).unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let status = std::process::Command::new(&emulator).arg(&path).status().unwrap();
        assert!(status.success(), "{architecture}: {status}");
    }
}
