//! Who a process is taken for, and how system calls change that: the kernel's rules, on values alone.

use crate::cap::CapSet;
use crate::owner::Owner;
use crate::raw::{Errno, Result};

pub(super) const EPERM: Errno = Errno(libc::EPERM);
pub(super) const EINVAL: Errno = Errno(libc::EINVAL);

/// What stands for "leave it", and for no id at all.
pub(super) const NONE: u32 = u32::MAX;

const CAP_CHOWN: u32 = 0;
const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;
const CAP_SETPCAP: u32 = 8;

/// The capabilities that follow the file system's user id: `CAP_FS_SET` in the kernel.
const FILE_CAPS: CapSet = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 9 | 1 << 27 | 1 << 32;

/// Most groups beside the primary one.
const GROUPS_MAX: usize = 65_536;

/// The four ids of a kind that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Ids {
    pub(super) real: u32,
    pub(super) effective: u32,
    pub(super) saved: u32,
    /// Whose the files are that it makes.
    pub(super) fs: u32,
}

/// All there is to a process's identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Creds {
    pub(super) user: Ids,
    pub(super) group: Ids,
    /// As they were set, so that they are told in that order.
    pub(super) groups: Vec<u32>,
    pub(super) keep_caps: bool,
    pub(super) permitted: CapSet,
    pub(super) effective: CapSet,
    pub(super) inheritable: CapSet,
    /// What a program may ever gain.
    pub(super) bounding: CapSet,
}

/// Which ids a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

/// A program as far as it changes who runs it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Program {
    /// Its owner, where it is set-user-id.
    pub(super) user: Option<u32>,
    /// Its group, where it is set-group-id.
    pub(super) group: Option<u32>,
    /// Its capabilities: permitted, inheritable, and whether they are in force at once.
    pub(super) caps: Option<(CapSet, CapSet, bool)>,
}

impl Ids {
    fn all(id: u32) -> Self {
        Self { real: id, effective: id, saved: id, fs: id }
    }

    fn has(self, id: u32) -> bool {
        id == self.real || id == self.effective || id == self.saved
    }
}

impl Creds {
    /// Of a command that starts as this user, where a program may gain the capabilities in `bounding`.
    pub(super) fn of(uid: u32, gid: u32, groups: Vec<u32>, bounding: CapSet) -> Self {
        let held = if uid == 0 { bounding } else { 0 };
        Self {
            user: Ids::all(uid),
            group: Ids::all(gid),
            groups,
            keep_caps: false,
            permitted: held,
            effective: held,
            inheritable: 0,
            bounding,
        }
    }

    fn may(&self, capability: u32) -> bool {
        self.effective & (1 << capability) != 0
    }

    fn may_set(&self, kind: Kind) -> bool {
        self.may(if kind == Kind::User { CAP_SETUID } else { CAP_SETGID })
    }

    pub(super) fn ids(&self, kind: Kind) -> Ids {
        if kind == Kind::User { self.user } else { self.group }
    }

    fn with(&self, kind: Kind, ids: Ids) -> Self {
        let mut new = self.clone();
        match kind {
            Kind::Group => new.group = ids,
            Kind::User => {
                new.user = ids;
                new.fix_caps(self.user);
            }
        }
        new
    }

    /// What a change of user takes away and gives back, as `cap_emulate_setxuid`.
    fn fix_caps(&mut self, old: Ids) {
        if old.has(0) && !self.user.has(0) && !self.keep_caps {
            (self.permitted, self.effective) = (0, 0);
        }
        match (old.effective, self.user.effective) {
            (0, 1..) => self.effective = 0,
            (1.., 0) => self.effective = self.permitted,
            _ => {}
        }
    }

    /// setuid, setgid.
    pub(super) fn set(&self, kind: Kind, id: u32) -> Result<Self> {
        let old = self.ids(kind);
        match id {
            NONE => Err(EINVAL),
            _ if self.may_set(kind) => Ok(self.with(kind, Ids::all(id))),
            _ if id == old.real || id == old.saved => {
                Ok(self.with(kind, Ids { effective: id, fs: id, ..old }))
            }
            _ => Err(EPERM),
        }
    }

    /// setreuid, setregid.
    pub(super) fn set_two(&self, kind: Kind, real: u32, effective: u32) -> Result<Self> {
        let (old, may) = (self.ids(kind), self.may_set(kind));
        let mut new = old;
        if real != NONE {
            if !may && real != old.real && real != old.effective {
                return Err(EPERM);
            }
            new.real = real;
        }
        if effective != NONE {
            if !may && !old.has(effective) {
                return Err(EPERM);
            }
            new.effective = effective;
        }
        if real != NONE || (effective != NONE && effective != old.real) {
            new.saved = new.effective;
        }
        new.fs = new.effective;
        Ok(self.with(kind, new))
    }

    /// setresuid, setresgid.
    pub(super) fn set_three(&self, kind: Kind, ids: [u32; 3]) -> Result<Self> {
        let old = self.ids(kind);
        if !self.may_set(kind) && ids.iter().any(|id| *id != NONE && !old.has(*id)) {
            return Err(EPERM);
        }
        let [real, effective, saved] = ids;
        let keeps = |id: u32, old: u32| id == NONE || id == old;
        let same_effect = keeps(effective, old.effective) && keeps(effective, old.fs);
        if keeps(real, old.real) && same_effect && keeps(saved, old.saved) {
            return Ok(self.clone());
        }
        let or = |id: u32, old: u32| if id == NONE { old } else { id };
        let effective = or(effective, old.effective);
        let new = Ids { real: or(real, old.real), effective, saved: or(saved, old.saved), fs: effective };
        Ok(self.with(kind, new))
    }

    /// setfsuid, setfsgid, which never fail; the answer is the old id.
    pub(super) fn set_fs(&self, kind: Kind, id: u32) -> Self {
        let old = self.ids(kind);
        let mut new = self.clone();
        if id == NONE || !(old.has(id) || id == old.fs || self.may_set(kind)) {
            return new;
        }
        match kind {
            Kind::Group => new.group.fs = id,
            Kind::User => {
                new.user.fs = id;
                match (old.fs, id) {
                    (0, 1..) => new.effective &= !FILE_CAPS,
                    (1.., 0) => new.effective |= new.permitted & FILE_CAPS,
                    _ => {}
                }
            }
        }
        new
    }

    pub(super) fn set_groups(&self, groups: Vec<u32>) -> Result<Self> {
        if !self.may(CAP_SETGID) {
            return Err(EPERM);
        }
        if groups.len() > GROUPS_MAX || groups.contains(&NONE) {
            return Err(EINVAL);
        }
        // The kernel keeps them sorted, and tells them so.
        let mut groups = groups;
        groups.sort_unstable();
        Ok(Self { groups, ..self.clone() })
    }

    /// capset of the process itself.
    pub(super) fn set_caps(&self, effective: CapSet, permitted: CapSet, inheritable: CapSet) -> Result<Self> {
        let within = |set: CapSet, limit: CapSet| set & !limit == 0;
        let inherits = self.may(CAP_SETPCAP) || within(inheritable, self.inheritable | self.permitted);
        let allowed = inherits
            && within(inheritable, self.inheritable | self.bounding)
            && within(permitted, self.permitted)
            && within(effective, permitted);
        if !allowed {
            return Err(EPERM);
        }
        Ok(Self { effective, permitted, inheritable, ..self.clone() })
    }

    /// After the start of a program: set-id bits count, what is saved follows what is in effect, and root has what
    /// root may have (`cap_bprm_creds_from_file`).
    pub(super) fn after_exec(&self, program: &Program) -> Self {
        let mut new = Self { keep_caps: false, ..self.clone() };
        new.user.effective = program.user.unwrap_or(self.user.effective);
        new.group.effective = program.group.unwrap_or(self.group.effective);
        for ids in [&mut new.user, &mut new.group] {
            (ids.saved, ids.fs) = (ids.effective, ids.effective);
        }
        let (mut permitted, mut at_once) = match program.caps {
            Some((permitted, inheritable, at_once)) => {
                (permitted & self.bounding | inheritable & self.inheritable, at_once)
            }
            None => (0, false),
        };
        // A set-id program of root's with capabilities of its own gains those and no more.
        let narrowed = program.caps.is_some() && self.user.real != 0 && new.user.effective == 0;
        if !narrowed {
            if new.user.effective == 0 || new.user.real == 0 {
                permitted = self.bounding | self.inheritable;
            }
            at_once |= new.user.effective == 0;
        }
        new.permitted = permitted;
        new.effective = if at_once { permitted } else { 0 };
        new
    }

    /// Whose a file is that it makes, in a directory that hands its group on or in another.
    pub(super) fn makes(&self, handed_on: Option<u32>) -> Owner {
        Owner::new(self.user.fs, handed_on.unwrap_or(self.group.fs))
    }

    /// Who owns a file after a chown to these ids, if the process may do that.
    pub(super) fn chown(&self, owner: Owner, uid: u32, gid: u32) -> Result<Owner> {
        let (own, may) = (self.user.fs == owner.uid, self.may(CAP_CHOWN));
        if uid != NONE && !may && !(own && uid == owner.uid) {
            return Err(EPERM);
        }
        let member = || gid == self.group.fs || gid == owner.gid || self.groups.contains(&gid);
        if gid != NONE && !may && !(own && member()) {
            return Err(EPERM);
        }
        let or = |id: u32, old: u32| if id == NONE { old } else { id };
        Ok(Owner::new(or(uid, owner.uid), or(gid, owner.gid)))
    }
}

#[cfg(test)]
mod tests;
