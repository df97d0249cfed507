//! Users and groups of an image, as USER and `--chown` name them.

use std::collections::BTreeSet;

use ireko_dockerfile::owner::{self, Id};
use ireko_layer::View;
use ireko_report::nearest_names;

use crate::files_error::FilesError;

/// Who runs a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory; `/` where the image knows none.
    pub home: String,
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// The user that `spec` (`name`, `uid`, either with `:group`; empty is root) means in an image.
pub fn user_in(spec: &str, view: &View) -> Result<User, FilesError> {
    user(spec, view.passwd(), view.group())
}

/// The same, by the texts of `/etc/passwd` and `/etc/group`.
pub fn user(spec: &str, passwd: Option<&[u8]>, group: Option<&[u8]>) -> Result<User, FilesError> {
    let (passwd, group) = (text(passwd), text(group));
    let owner = owner::parse(spec);
    let accounts = accounts(&passwd);
    let wanted = owner.user.unwrap_or(Id::Number(0));
    let account = match &wanted {
        Id::Name(name) => Some(
            accounts
                .iter()
                .find(|account| account.name == name)
                .ok_or_else(|| unknown("user", name, &accounts_names(&accounts)))?,
        ),
        Id::Number(number) => accounts.iter().find(|account| account.uid == *number),
    };
    let uid = match (&wanted, account) {
        (_, Some(account)) => account.uid,
        (Id::Number(number), None) => *number,
        (Id::Name(_), None) => 0,
    };
    let groups = groups_of(&group);
    let (gid, supplementary) = match owner.group {
        Some(id) => (group_number(&id, &groups)?, Vec::new()),
        None => (account.map_or(0, |account| account.gid), memberships(account, &groups)),
    };
    let home = account.map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(User { uid, gid, groups: supplementary, home: home.to_owned() })
}

/// The numbers that `--chown`, or USER for a new directory, means. A user by number alone has the group of the same
/// number, a user by name its own; `root` is 0 everywhere. A name that is not there is a mistake where nothing is, and
/// root's where an image is (`readUser` in BuildKit's `solver/llbsolver/ops`).
pub(crate) fn owner(spec: &str, below: &View) -> Result<(u32, u32), FilesError> {
    let (owner, unknown) = numbers_below(spec, below);
    match unknown.into_iter().next() {
        Some(error) if below.layers().is_empty() => Err(error),
        _ => Ok(owner),
    }
}

/// The numbers of such an owner, and what is wrong with its names.
pub(crate) fn numbers_below(spec: &str, below: &View) -> ((u32, u32), Vec<FilesError>) {
    numbers(spec, below.passwd(), below.group())
}

fn numbers(spec: &str, passwd: Option<&[u8]>, group: Option<&[u8]>) -> ((u32, u32), Vec<FilesError>) {
    // Most steps name nobody, and the files need not be read for that.
    if spec.is_empty() {
        return ((0, 0), Vec::new());
    }
    let owner = owner::parse(spec);
    let (passwd, group) = (text(passwd), text(group));
    let mut unknowns = Vec::new();
    let (uid, own) = match &owner.user {
        None => (0, 0),
        Some(id) => match owned_by(id) {
            Ok(number) => (number, number),
            Err(name) => {
                let accounts = accounts(&passwd);
                let account = accounts.iter().find(|account| account.name == name);
                if account.is_none() {
                    unknowns.push(unknown("user", &name, &accounts_names(&accounts)));
                }
                account.map_or((0, 0), |account| (account.uid, account.gid))
            }
        },
    };
    let gid = match owner.group.as_ref().map(owned_by) {
        None => own,
        Some(Ok(number)) => number,
        // A group that is not there leaves that of the user.
        Some(Err(name)) => group_number(&Id::Name(name), &groups_of(&group)).unwrap_or_else(|error| {
            unknowns.push(error);
            own
        }),
    };
    ((uid, gid), unknowns)
}

/// The number of an owner, or the name to look up. What is a number of 32 bits with a sign is one, and `root` is 0
/// (`parseUID` in BuildKit's `client/llb/fileop.go`); -1 changes nothing, and what is new is root's.
fn owned_by(id: &Id) -> Result<u32, String> {
    let text = match id {
        Id::Number(number) => number.to_string(),
        Id::Name(name) if name == "root" => return Ok(0),
        Id::Name(name) => name.clone(),
    };
    match text.parse::<i32>() {
        Ok(-1) => Ok(0),
        Ok(number) => Ok(number.cast_unsigned()),
        Err(_) => Err(text),
    }
}

fn group_number(id: &Id, groups: &[Group<'_>]) -> Result<u32, FilesError> {
    match id {
        Id::Number(number) => Ok(*number),
        Id::Name(name) => match groups.iter().find(|group| group.name == name) {
            Some(group) => Ok(group.gid),
            None => Err(unknown("group", name, &groups.iter().map(|group| group.name).collect::<Vec<_>>())),
        },
    }
}

/// Groups that list the account as a member.
fn memberships(account: Option<&Account<'_>>, groups: &[Group<'_>]) -> Vec<u32> {
    let Some(account) = account else { return Vec::new() };
    let is_member = |group: &&Group<'_>| group.members.split(',').any(|member| member.trim() == account.name);
    let numbers: BTreeSet<u32> = groups.iter().filter(is_member).map(|group| group.gid).collect();
    numbers.into_iter().collect()
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> FilesError {
    let near = nearest_names(name, known.iter().copied());
    let hint = match (near.as_slice(), known.is_empty()) {
        ([], true) => format!("what is below has no {kind}s to look names up in: give a number"),
        ([], false) => format!("make the {kind} first, or give a number"),
        (near, _) => format!("there is `{}`", near.join("`, `")),
    };
    let problem = format!("the image has no {kind} of this name");
    FilesError::Unusable { text: name.to_owned(), problem, hint: Some(hint) }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn accounts_names<'a>(accounts: &[Account<'a>]) -> Vec<&'a str> {
    accounts.iter().map(|account| account.name).collect()
}

fn accounts(text: &str) -> Vec<Account<'_>> {
    let account = |line| {
        let mut fields = str::split(line, ':');
        let name = fields.next()?;
        let _password = fields.next()?;
        let uid = fields.next()?.trim().parse().ok()?;
        let gid = fields.next()?.trim().parse().ok()?;
        let _comment = fields.next();
        let home = fields.next().unwrap_or_default();
        Some(Account { name, uid, gid, home })
    };
    lines(text).filter_map(account).collect()
}

fn groups_of(text: &str) -> Vec<Group<'_>> {
    let group = |line| {
        let mut fields = str::split(line, ':');
        let name = fields.next()?;
        let _password = fields.next()?;
        let gid = fields.next()?.trim().parse().ok()?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    };
    lines(text).filter_map(group).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:an app:/home/app:/bin/sh\n\n#x:x:1:1::/:\nodd:x:no:1::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nstaff:x:50:app,root\napp:x:1001:\nwheel:x:10:app\n";

    #[track_caller]
    fn check(spec: &str, runs_as: &str, owns_as: &str) {
        let shown = match user(spec, Some(PASSWD), Some(GROUP)) {
            Ok(user) => format!("{}:{} {:?} {}", user.uid, user.gid, user.groups, user.home),
            Err(error) => format!("{error} ({})", error.hint().unwrap_or_default()),
        };
        assert_eq!(shown, runs_as, "{spec} to run");
        let ((uid, gid), unknown) = numbers(spec, Some(PASSWD), Some(GROUP));
        let unknown: String = unknown.iter().map(|error| format!(" {error}")).collect();
        assert_eq!(format!("{uid}:{gid}{unknown}"), owns_as, "{spec} to own");
    }

    #[test]
    fn users_and_groups_are_found() {
        check("", "0:0 [50] /root", "0:0");
        check("app", "1000:1001 [10, 50] /home/app", "1000:1001");
        check("1000", "1000:1001 [10, 50] /home/app", "1000:1000");
        check("1000:5", "1000:5 [] /home/app", "1000:5");
        check("app:staff", "1000:50 [] /home/app", "1000:50");
        check("7", "7:0 [] /", "7:7");
        check("7:wheel", "7:10 [] /", "7:10");
        check(":staff", "0:50 [] /root", "0:50");
        let wrong = "cannot use `ap`: the image has no user of this name";
        check("ap", &format!("{wrong} (there is `app`)"), &format!("0:0 {wrong}"));
        let wrong = "cannot use `stuff`: the image has no group of this name";
        check("app:stuff", &format!("{wrong} (there is `staff`)"), &format!("1000:1001 {wrong}"));
    }

    #[test]
    fn an_image_without_users_has_numbers() {
        let owner = |spec| owner(spec, &View::default());
        assert_eq!((owner("+5:-1").unwrap(), owner("-2").unwrap()), ((5, 0), (4_294_967_294, 4_294_967_294)));
        assert!(owner("2147483648").is_err());
        assert_eq!((owner("3:4").unwrap(), owner("root:root").unwrap()), ((3, 4), (0, 0)));
        assert_eq!(user("", None, None).unwrap().home, "/");
        assert!(owner("app").unwrap_err().hint().unwrap().contains("number"));
    }
}
