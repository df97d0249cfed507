//! Flags as people type them.

use super::*;

fn output(text: &str) -> String {
    match Output::parse(text) {
        Ok(Output { form, dest, compression, names, split, .. }) => {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let split = split.map_or(String::new(), |split| format!(" split {split}"));
            format!(
                "{form:?} {:?} {:?} {names:?}{split}",
                dest.unwrap_or_default(),
                compression.map(|it| (it.kind, it.level))
            )
        }
        Err(failure) => failure.message,
    }
}

#[test]
fn outputs() {
    for (text, expect) in [
        ("out", "Local \"out\" None []"),
        ("-", "Tar \"\" None []"),
        ("type=oci,dest=a.tar", "OciTar \"a.tar\" None []"),
        ("type=oci,dest=a,tar=false", "OciDir \"a\" None []"),
        ("type=docker", "Engine \"\" None []"),
        ("type=oci,dest=a,compression=zstd,compression-level=3", "OciTar \"a\" Some((Zstd, Some(3))) []"),
        (
            "type=docker,dest=-,\"name=a,b:1\"",
            "DockerTar \"\" None [\"docker.io/library/a:latest\", \"docker.io/library/b:1\"]",
        ),
        ("type=local,dest=a,platform-split=false", "Local \"a\" None [] split false"),
        ("type=tar,platform-split=1", "Tar \"\" None [] split true"),
        ("type=oci,dest=a,platform-split=false", "`platform-split` in `-o` is not supported yet"),
        ("type=local", "`-o type=local` needs dest=DIR"),
        ("type=local,dest=", "`-o type=local,dest=` needs dest=DIR"),
        ("", "an `-o` is empty"),
        ("type=zip,dest=a", "`type=zip` in `-o` is unknown"),
        ("type=oci,dest=a,wrong=1", "`wrong` in `-o` is not supported yet"),
        ("type=registry,annotation.a=b", "`annotation.a` in `-o` is not supported yet"),
        ("type=registry", "Registry \"\" None []"),
        ("type=image,push=true,name=r.io/a", "Registry \"\" None [\"r.io/a:latest\"]"),
        ("type=image,push-by-digest=true,unpack=true", "Registry \"\" None []"),
        ("type=image,push=false", "Store \"\" None []"),
        ("type=image,push=maybe", "`maybe` is neither true nor false"),
        ("type=cacheonly", "Nothing \"\" None []"),
    ] {
        assert_eq!(output(text), expect, "{text}");
    }
}

#[test]
fn secrets() {
    let environment = Environment::of([("TOKEN", "x")]);
    for (text, expect) in [
        ("id=a,src=/f", "a File(\"/f\")"),
        ("id=a,env=TOKEN", "a Variable(\"TOKEN\")"),
        ("id=TOKEN", "TOKEN Variable(\"TOKEN\")"),
        ("id=other", "other File(\"other\")"),
        ("type=env,id=a", "a Variable(\"a\")"),
        ("src=/f", "a `--secret` has no id"),
        ("id=,src=/f", "a `--secret` has no id"),
        ("id=a,what=b", "`what` in `--secret` is unknown"),
    ] {
        let shown = match secret(text, &environment) {
            Ok((id, source)) => format!("{id} {source:?}"),
            Err(failure) => failure.message,
        };
        assert_eq!(shown, expect, "{text}");
    }
}

#[test]
fn hosts_and_limits() {
    assert_eq!(host("a:1.2.3.4").expect("a host"), ("a".into(), "1.2.3.4".into()));
    assert_eq!(host("a=[::1]").expect("a host"), ("a".into(), "::1".into()));
    assert!(host("a:nowhere").is_err());
    assert_eq!(ulimit("nofile=10:20").expect("a limit"), ("nofile".into(), 10, 20));
    assert_eq!(ulimit("nofile=10").expect("a limit"), ("nofile".into(), 10, 10));
    assert_eq!(ulimit("core=5:-1").expect("a limit"), ("core".into(), 5, -1));
    for wrong in ["nofile", "nofile=x", "nofiles=1", "nofile=5:2", "nofile=-1:2"] {
        assert!(ulimit(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn tags_are_normalised() {
    assert_eq!(tag("app").expect("a tag").to_string(), "docker.io/library/app:latest");
    assert!(tag("App").is_err());
    assert!(tag("a@sha256:0000000000000000000000000000000000000000000000000000000000000000").is_err());
}

#[test]
fn what_is_allowed_is_known() {
    let read = |flags: &[&str]| allow(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>());
    let some = read(&["network.host", "device=vendor.com/gpu"]).unwrap();
    assert!(!some.insecure && !some.devices.all);
    assert_eq!(some.devices.names, ["vendor.com/gpu"]);
    let all = read(&["network.host,security.insecure", "device"]).unwrap();
    assert!(all.insecure && all.devices.all);
    let alias = read(&["device=vendor.com/gpu=0,alias=gpu,device=other.com/x"]).unwrap().devices;
    assert_eq!(alias.aliases.get("gpu").map(String::as_str), Some("vendor.com/gpu=0"));
    assert_eq!(alias.names, ["other.com/x"]);
    for wrong in ["security", "device=a,alias=", "alias=gpu"] {
        assert!(read(&[wrong]).is_err(), "{wrong}");
    }
}
