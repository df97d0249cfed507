//! Command lines as people of other tools type them.

use super::*;

/// The words that ireko reads, the variables that flags stand for, or what is said instead.
fn read(typed: &str) -> String {
    let typed: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
    let shown = |words: Words| {
        let text: Vec<String> = words.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let variables: String =
            words.variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
        format!("{variables}{}", text.join(" "))
    };
    match super::read(&typed) {
        Ok(Typed::Command(words)) => shown(words),
        Ok(Typed::Kaniko(words)) => format!("kaniko: {}", shown(words)),
        Ok(Typed::Needless { out, note }) => format!("{out:?} {}", note.unwrap_or_default()),
        Err(failure) => failure.message,
    }
}

#[test]
fn dockers_longer_forms_are_irekos_commands() {
    for (typed, expect) in [
        ("ireko build -t a .", "ireko build -t a ."),
        ("docker image ls -q", "docker images -q"),
        ("docker image list", "docker images"),
        ("docker image rm a b", "docker rmi a b"),
        ("docker image build .", "docker build ."),
        ("docker image prune -f", "docker image prune -f"),
        ("docker container run --rm a", "docker run --rm a"),
        ("docker container stop a", "docker container stop a"),
        ("docker help", "docker --help"),
        ("docker help build", "docker build --help"),
        ("docker -D help image ls", "docker --verbose images --help"),
        ("/kaniko/warmer --image=a", "kaniko's `warmer` is not supported"),
        ("docker context .", "docker context ."),
        ("docker context use ci", "ireko keeps no contexts of Docker: there is no `context use`"),
        ("docker builder build .", "docker build ."),
        ("docker builder prune", "docker builder prune"),
        ("docker system df", "docker system df"),
        ("docker system info", "docker info"),
        ("docker manifest inspect a", "docker manifest --document a"),
        ("buildah bud -t a .", "buildah build -t a ."),
        ("ireko images", "ireko images"),
        ("ireko", "ireko"),
        // What follows is the command's own.
        ("docker run image ls", "docker run image ls"),
        ("docker --home /h image ls", "docker --home /h images"),
        ("docker buildx build --push .", "docker build --push ."),
        ("docker buildx --builder ci build .", "docker build ."),
        ("docker buildx b .", "docker build ."),
        ("docker buildx du", "docker builder du"),
        ("docker buildx --builder=ci prune -f", "docker builder prune -f"),
        ("docker buildx version", "docker version --format ireko {{.Client.Version}}"),
        ("docker buildx imagetools inspect --raw a", "docker manifest --raw a"),
        ("docker buildx imagetools create a b", "`buildx imagetools create` is not supported"),
        ("docker buildx bake", "`buildx bake` is not supported"),
    ] {
        assert_eq!(read(typed), expect, "{typed}");
    }
}

#[test]
fn dockers_flags_before_the_command_stand_for_variables() {
    for (typed, expect) in [
        ("docker --config /c push a", "DOCKER_CONFIG=/c docker push a"),
        ("docker -H unix:///s build .", "DOCKER_HOST=unix:///s docker build ."),
        ("docker -Htcp://h:1 build .", "DOCKER_HOST=tcp://h:1 docker build ."),
        ("docker --host=tcp://h:1 build .", "DOCKER_HOST=tcp://h:1 docker build ."),
        ("docker --context remote image ls", "DOCKER_HOST= DOCKER_CONTEXT=remote docker images"),
        ("docker -D build .", "docker --verbose build ."),
        ("docker --debug=false build .", "docker build ."),
        ("docker -l debug build .", "docker --verbose build ."),
        ("docker --log-level=error build .", "docker build ."),
        ("docker --log-level loud build .", "`--log-level loud` is no level"),
        ("docker -v", "docker --version"),
        ("docker --version", "docker --version"),
        ("docker --config", "`--config` has no value"),
        ("docker --tlscacert /a build .", "`--tlscacert` is not supported"),
        // After the command it is the command's.
        ("docker build -c 5 .", "docker build -c 5 ."),
    ] {
        assert_eq!(read(typed), expect, "{typed}");
    }
}

#[test]
fn builders_are_nothing_to_be_made() {
    let none = |what: &str| format!("`buildx {what}`: ireko needs no builder, so nothing is done");
    assert_eq!(read("docker buildx create --use --name ci"), format!("\"ci\\n\" {}", none("create")));
    assert_eq!(read("docker buildx create --driver=x"), format!("\"default\\n\" {}", none("create")));
    assert_eq!(read("docker buildx use ci"), format!("\"\" {}", none("use")));
    assert_eq!(read("docker buildx rm -f ci"), format!("\"\" {}", none("rm")));
    assert!(read("docker buildx ls").contains("default*"));
    assert!(read("docker buildx inspect --bootstrap ci").contains("Name:   ci"));
}

#[test]
fn what_is_not_kept_is_listed_and_pruned_without_a_fault() {
    assert_eq!(read("docker ps -aq"), "\"\" ireko keeps no containers");
    assert!(read("docker ps -a").starts_with("\"CONTAINER ID "), "{}", read("docker ps -a"));
    for (typed, what) in [
        ("docker container prune -f", "containers"),
        ("docker volume prune -af", "volumes"),
        ("docker network prune -f", "networks"),
    ] {
        let said = format!("\"Total reclaimed space: 0B\\n\" ireko keeps no {what}, so nothing is done");
        assert_eq!(read(typed), said);
    }
    assert_eq!(read("docker volume ls --format={{.Name}}"), "\"\" ireko keeps no volumes");
}

#[test]
fn a_link_called_executor_is_kaniko() {
    assert_eq!(read("/kaniko/executor --no-push"), "kaniko: --no-push");
    assert_eq!(read("ireko kaniko -c ."), "kaniko: -c .");
    assert_eq!(read("ireko --home /h kaniko -c ."), "kaniko: --home /h -c .");
}

#[test]
fn the_first_word_alone_lists_its_forms() {
    for typed in ["docker image", "docker image --help", "docker image help"] {
        assert!(read(typed).contains("image ls         ireko images"), "{}", read(typed));
    }
    assert!(read("docker buildx --help").contains("imagetools"));
    assert!(read("docker container").contains("ireko run"));
}
