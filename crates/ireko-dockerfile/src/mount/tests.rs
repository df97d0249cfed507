//! Mounts, as data.

use super::*;
use proptest::prelude::*;

fn read(value: &str) -> Result<Mount, String> {
    parse(value, &mut |value| Ok(value.replace("$CACHE", "/root/.cache,x")))
}

#[test]
fn fields_are_read_with_their_defaults() {
    let cache = read("type=cache,target=$CACHE,id=go,sharing=locked,mode=0755,uid=10").unwrap();
    assert_eq!(
        (cache.kind, cache.target.as_str(), cache.read_only),
        (MountKind::Cache, "/root/.cache,x", false)
    );
    assert_eq!(
        (cache.id.as_deref(), cache.sharing, cache.mode, cache.uid),
        (Some("go"), Some(Sharing::Locked), Some(0o755), Some(10))
    );
    let bind = read("target=/src,source=.").unwrap();
    assert_eq!((bind.kind, bind.read_only), (MountKind::Bind, true));
    assert!(!read("dst=/src,rw").unwrap().read_only);
    assert!(read("type=cache,dst=/c,ro=1").unwrap().read_only);
    assert_eq!(read("type=tmpfs,target=/t,size=1.5GiB").unwrap().size, Some(1_610_612_736));
    let secret = read("type=secret,id=token").unwrap();
    assert_eq!(
        (secret.secret_id(), secret.secret_target()),
        ("token", Some("/run/secrets/token".to_owned()))
    );
    assert_eq!(read("type=secret,target=/a/key").unwrap().secret_id(), "key");
    assert_eq!(read("type=secret,id=t,env=T").unwrap().secret_target(), None);
    assert_eq!(read("\"target=/a,b\"").unwrap().target, "/a,b");
}

#[test]
fn wrong_fields_are_said() {
    let wrong = [
        ("", "failed to parse csv: it is empty"),
        ("type=cach", "unsupported mount type \"cach\" (did you mean cache?)"),
        ("targt=/x", "unexpected key 'targt' in 'targt=/x' (did you mean target?)"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("target=/x,required", "unexpected key 'required' for mount type 'bind'"),
        ("target=/x,mode=0755", "mode not allowed for \"bind\" type mounts"),
        ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=tmpfs,target=/t,size=64q", "invalid value for size: 64q"),
        (
            "type=tmpfs,target=/t,size=999999999t",
            "invalid value for size: 999999999t, which is more than any machine can hold",
        ),
        ("target=/x,sharing=locked", "invalid cache sharing set for bind mount"),
        ("a\"b", "failed to parse csv: bare \" in non-quoted field"),
    ];
    for (value, message) in wrong {
        assert_eq!(read(value).unwrap_err(), message, "{value}");
    }
    assert_eq!(
        check("from=$x,target=/a").unwrap_err(),
        "'from' doesn't support variable expansion, define alias stage instead"
    );
    assert_eq!(check("type=$x,target=/a"), Ok(()));
}

proptest! {
    #[test]
    fn any_value_never_panics(value in "[a-z=,\"$ 0-9.]{0,40}") {
        let _ = read(&value);
        let _ = check(&value);
    }
}
