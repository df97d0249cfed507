//! The base images of the cases: made once by ireko, then loaded into the engine, so that both start from the same.

use std::fmt::Write as _;

/// A base: its name and the Dockerfile that makes it.
pub(crate) struct Base {
    pub(crate) name: &'static str,
    pub(crate) dockerfile: String,
}

/// All of them, each standing on those before.
pub(crate) fn all() -> Vec<Base> {
    let base = |name, dockerfile: &str| Base { name, dockerfile: dockerfile.to_owned() };
    vec![
        base("plain", &plain()),
        base("configured", CONFIGURED),
        base("triggers", TRIGGERS),
        base("empty", "FROM scratch\nLABEL empty=1\nCOPY one /one\n"),
    ]
}

const APPLETS: &str =
    "sh cat chmod chown cp echo env ln ls mkdir mv rm sort test touch true false grep stat id pwd";

fn plain() -> String {
    let mut text = "FROM scratch\nCOPY --chmod=755 busybox /bin/busybox\n".to_owned();
    let _ = writeln!(
        text,
        "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"for a in {APPLETS}; do /bin/busybox ln -s busybox /bin/$a; done\"]"
    );
    // What a step's own mounts cover: the engine leaves made mount points in the layer.
    text += "COPY skeleton /\nCOPY one /data/file\nCOPY one /data/sub/deep/file\n";
    text += "RUN mkdir -m 1777 /tmp && mkdir -p /etc /root /opt/private /data/empty \
        && ln -s data /link && ln -s /data/sub /abs && ln -s nowhere/x /dangling && ln -s loop /loop \
        && ln -s data/file /filelink && ln -s ../../../data /up && ln -s ../sub /data/empty/back \
        && chmod 700 /opt/private && chown 5:6 /opt/private && chmod 2775 /data/sub && chown 1000:1001 /data/sub \
        && echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd && echo 'app:x:1000:1001:app:/home/app:/bin/sh' >> /etc/passwd \
        && echo 'lost:x:77:88::/nowhere:/bin/sh' >> /etc/passwd && echo '1234:x:55:66::/:/bin/sh' >> /etc/passwd \
        && echo 'root:x:0:' > /etc/group && echo 'app:x:1001:' >> /etc/group && echo 'extra:x:1002:app' >> /etc/group \
        && echo 'lost:x:99:' >> /etc/group\n";
    text += "ENV PATH=/bin\n";
    text
}

const CONFIGURED: &str = "FROM plain\n\
    ENV A=base LONG=\"two words\" PATH=/bin:/opt\n\
    LABEL kept=1 changed=old\n\
    EXPOSE 80 53/udp\n\
    VOLUME /data/volume\n\
    WORKDIR /data/sub\n\
    USER app\n\
    STOPSIGNAL SIGINT\n\
    HEALTHCHECK --interval=7s --retries=3 CMD true\n\
    SHELL [\"/bin/sh\", \"-ec\"]\n\
    ENTRYPOINT [\"/bin/echo\"]\n\
    CMD [\"base\"]\n";

const TRIGGERS: &str = "FROM plain\n\
    ONBUILD ARG T=trigger\n\
    ONBUILD ENV FROM_TRIGGER=$T\n\
    ONBUILD WORKDIR /triggered\n\
    ONBUILD RUN echo \"$T$FROM_TRIGGER\" > said\n\
    ONBUILD COPY . /triggered/all/\n\
    ONBUILD LABEL by=$T\n\
    ONBUILD CMD echo $T\n";
