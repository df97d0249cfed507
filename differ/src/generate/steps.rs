//! RUN: light steps that show what a step sees and leave things for later copies to meet.

use super::Generator;

impl Generator {
    pub(super) fn run(&mut self) -> String {
        if !self.can_run || !self.shell {
            return self.copy();
        }
        let keyword = self.keyword("RUN");
        let number = self.fresh();
        if self.chance(25) {
            return self.mounted(&keyword, number);
        }
        match self.random.below(24) {
            0..=4 => format!("{keyword} env | sort > /tmp/env{number} || true"),
            5 => format!("{keyword} echo \"$A\" '$A' {} > /tmp/said{number} || true", self.shell_word()),
            6 => format!(
                "{keyword} pwd > /tmp/pwd{number}; id -un >> /tmp/pwd{number}; id -gn >> /tmp/pwd{number}; true"
            ),
            7 => format!("{keyword} mkdir -p /made && ln -s ../data /made/link || true"),
            8 => format!("{keyword} rm -rf /data/sub || true"),
            9 => format!("{keyword} chmod 4711 /data/file || true"),
            10 => format!("{keyword} mv /data/empty /data/moved || true"),
            11 => format!("{keyword} ln /data/file /data/hard || true"),
            12 => format!("{keyword} rm -rf /x && ln -s data /x || true"),
            13 => format!("{keyword} rm -rf /link && mkdir /link && echo new > /link/new || true"),
            14 => format!("{keyword} [\"echo\", \"not $A a shell\"]"),
            15 => format!("{keyword} [\"sh\", \"-c\", \"echo $A > /tmp/json{number}\"]"),
            16 => format!("{keyword} touch /tmp/t{number} && chown 7:8 /tmp/t{number} || true"),
            17 => format!(
                "{keyword} umask > /tmp/umask{number} && cat /proc/self/status | grep Cap > /tmp/caps{number} || true"
            ),
            18 => format!("{keyword} mkdir -p -m 1770 /d/e /x && chown 3:4 /d || true"),
            19 => format!(
                "{keyword} cat /etc/hosts > /tmp/hosts{number}; cat /etc/resolv.conf > /dev/null; true"
            ),
            20 => format!("{keyword} rm -rf /data && mkdir /data && echo again > /data/file || true"),
            21 if self.risky => format!(
                "{keyword} {}",
                self.pick(&["false", "exit 3", "[\"/nothing\"]", "sh -c", "[ \"broken\" "])
            ),
            22 => format!(
                "{keyword} echo {escape}\n  # between\n  more {escape}\n\n && true",
                escape = self.escape
            ),
            // Not `/data/sub`, which the engine leaves where it made it for a mount.
            _ => format!(
                "{keyword} : > /tmp/empty{number}; stat -c '%u:%g %n' /data /data/[!s]* /tmp > /tmp/stat{number} || true"
            ),
        }
    }

    fn shell_word(&mut self) -> String {
        self.pick(&[
            "${B:-x}",
            "\\$A",
            "\"two  words\"",
            "a\\ b",
            "`echo tick`",
            "$(echo sub)",
            "*",
            "$$ >/dev/null",
        ])
        .to_owned()
    }

    fn mounted(&mut self, keyword: &str, number: usize) -> String {
        let mut mounts = Vec::new();
        for _ in 0..1 + usize::from(self.chance(25)) {
            let mount = self.mount();
            // Two mounts at one place hide each other.
            if mounts.iter().all(|other: &String| other.split(',').next() != mount.split(',').next()) {
                mounts.push(mount);
            }
        }
        let mounts: Vec<String> = mounts.iter().map(|mount| format!("--mount={mount}")).collect();
        // An image's files could be written to.
        let of_image = mounts.iter().any(|mount| mount.contains("from="));
        let command = match self.random.below(4) {
            0 => format!(
                "ls -la /mnt /mnt2 2>/dev/null | grep -v total | sort > /dev/null; ls /mnt > /tmp/seen{number} || true"
            ),
            1 => format!("cat /mnt/* /mnt2 > /tmp/seen{number} 2>/dev/null || true"),
            3 if !of_image => format!(
                "echo x > /mnt/written 2>/dev/null && echo can > /tmp/wrote{number} || echo no > /tmp/wrote{number} || true"
            ),
            _ => format!("stat -c '%a %u:%g %F' /mnt /mnt2 > /tmp/stat{number} 2>/dev/null || true"),
        };
        format!("{keyword} {} {command}", mounts.join(" "))
    }

    fn mount(&mut self) -> String {
        let target =
            self.pick(&["/mnt", "/mnt", "/mnt", "/data/sub", "/link/empty", "/up/sub", "/abs", "/tmp"]);
        let dirs = self.dirs.clone();
        match self.random.below(10) {
            0 | 1 => format!("type=bind,target={target}"),
            2 if !dirs.is_empty() => {
                let dir = self.of(&dirs).replace(' ', "");
                if dirs.contains(&dir) {
                    format!("type=bind,source={dir},target={target}")
                } else {
                    format!("type=bind,target={target}")
                }
            }
            3 => format!("type=bind,from=plain,source=/data,target={target}"),
            4 => format!("type=bind,rw,target={target}"),
            5 => format!("type=tmpfs,target={target}"),
            6 => format!("type=cache,target={target},id=c{}", self.random.below(1_000_000)),
            7 => format!(
                "type=cache,target={target},id=m{},uid=5,gid=6,mode=0750",
                self.random.below(1_000_000)
            ),
            8 => "type=secret,id=hush,target=/mnt2".to_owned(),
            _ => format!("target={target},type=bind,readonly"),
        }
    }
}
