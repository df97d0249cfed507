//! `--chown=user:group`, and the user of USER, as a type.

/// A user or group, as given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// By number.
    Number(u32),
    /// By name, to be looked up in the image.
    Name(String),
}

/// An owner, as given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The user; none where the part is empty.
    pub user: Option<Id>,
    /// The group; none where not given: then a user by number has the group of the same number,
    /// and a user by name its own.
    pub group: Option<Id>,
}

/// Reads `user[:group]`. Any text is one; whether a name exists is the image's business.
pub fn parse(text: &str) -> Owner {
    let (user, group) = text.split_once(':').map_or((text, ""), |(user, group)| (user, group));
    Owner { user: id(user), group: id(group) }
}

fn id(text: &str) -> Option<Id> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // The last number means "no change" to the kernel.
    match text.parse().ok().filter(|&number| digits && number != u32::MAX) {
        Some(number) => Some(Id::Number(number)),
        None if text.is_empty() => None,
        None => Some(Id::Name(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read() {
        let name = |text: &str| Some(Id::Name(text.to_owned()));
        assert_eq!(parse("55:mygroup"), Owner { user: Some(Id::Number(55)), group: name("mygroup") });
        assert_eq!(parse("bin"), Owner { user: name("bin"), group: None });
        assert_eq!(parse(":0"), Owner { user: None, group: Some(Id::Number(0)) });
        assert_eq!(parse("99999999999"), Owner { user: name("99999999999"), group: None });
        assert_eq!(parse("4294967295"), Owner { user: name("4294967295"), group: None });
        assert_eq!(parse("+1"), Owner { user: name("+1"), group: None });
    }
}
