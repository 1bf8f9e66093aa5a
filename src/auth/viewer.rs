//! The one authorisation question, `viewer.may(action)`, and its one answer. The table in `docs/permissions.md`
//! says the same in prose; `the_table_in_the_docs_is_what_the_code_does` holds the two together.

use crate::store::{Channel, Role, User, UserId};

/// Whoever asks.
#[derive(Clone, Debug, Default)]
pub enum Viewer {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// Somebody who has signed in.
    User(User),
}

/// What may be asked for, and on what.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Make a channel of one's own.
    CreateChannel,
    /// Change or delete a channel, replace its key, name its streams.
    EditChannel(&'a Channel),
    /// See where to send video, and the stream key.
    ReadKey(&'a Channel),
    /// Send video to a channel, its key in hand.
    Publish(&'a Channel),
    /// Take a channel off the air.
    EndStream(&'a Channel),
    /// Play a channel's stream, let in so.
    Watch(&'a Channel, Admission),
    /// Add, rename and retire topics.
    ManageTopics,
    /// Give users roles.
    SetRole,
    /// Shut users out and let them in again; see who is shut out, and why.
    Suspend,
    /// Read who did what.
    ReadAudit,
    /// Look through all users.
    ListUsers,
    /// See how the parts of the site are.
    ReadStatus,
    /// Look after one's own account: its password, its sessions.
    ManageOneself,
}

/// How somebody comes by a protected channel who neither owns it nor is an admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Just so.
    Open,
    /// The owner has invited them.
    Invited,
    /// They know the channel's password.
    Password,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It might be allowed to somebody: sign in.
    Unauthenticated,
    /// Not to this user.
    Forbidden,
}

impl Viewer {
    /// Whether this viewer may do that.
    ///
    /// # Errors
    /// Why not.
    pub fn may(&self, action: Action<'_>) -> Result<(), Denied> {
        // Whoever is shut out may what nobody in particular may.
        let acting = self.user().filter(|user| user.suspended_at.is_none());
        let role = acting.map(|user| user.role);
        let owns = |channel: &Channel| acting.is_some_and(|user| user.id == channel.owner_id);
        let allowed = match action {
            Action::ManageOneself => role.is_some(),
            Action::CreateChannel => role >= Some(Role::Streamer),
            Action::EditChannel(channel) | Action::ReadKey(channel) => {
                owns(channel) || role == Some(Role::Admin)
            }
            Action::Publish(channel) => owns(channel) && role >= Some(Role::Streamer),
            Action::EndStream(channel) => owns(channel) || role >= Some(Role::Moderator),
            Action::Watch(channel, admission) => {
                let let_in = match admission {
                    Admission::Open => !channel.protected,
                    Admission::Invited => acting.is_some(),
                    Admission::Password => true,
                };
                let_in || owns(channel) || role == Some(Role::Admin)
            }
            Action::ManageTopics
            | Action::SetRole
            | Action::Suspend
            | Action::ReadAudit
            | Action::ListUsers
            | Action::ReadStatus => role == Some(Role::Admin),
        };
        match (allowed, self) {
            (true, _) => Ok(()),
            (false, Self::Anonymous) => Err(Denied::Unauthenticated),
            (false, Self::User(_)) => Err(Denied::Forbidden),
        }
    }

    /// The signed-in user.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::Anonymous => None,
            Self::User(user) => Some(user),
        }
    }

    /// Its id.
    pub fn id(&self) -> Option<UserId> {
        self.user().map(|user| user.id)
    }

    /// What they are to this site.
    pub fn role(&self) -> Option<Role> {
        self.user().map(|user| user.role)
    }
}
