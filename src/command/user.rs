//! `tally user`: accounts from the command line, the first of a site's and those of a closed one.

use std::io::{BufRead, IsTerminal, Write};

use clap::{Args, Subcommand, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use secrecy::SecretString;

use super::{Place, welcome};
use crate::ambient::{Chance, Clock};
use crate::auth::{Passwords, is_handle, is_password};
use crate::lifecycle::Failure;
use crate::store::{Deed, Role, Standing, Store, User};

/// What can be done to accounts.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Makes an account. Its password is the first line of standard input; when none comes, one is made up and
    /// printed, this once.
    Create(Account),
    /// Gives an account another role.
    SetRole {
        /// The account's handle.
        #[arg(long)]
        handle: String,
        /// The role to give.
        #[arg(long, ignore_case = true)]
        role: RoleName,
        #[command(flatten)]
        place: Place,
    },
    /// Gives an account another password: the first line of standard input, or one that is made up and printed.
    SetPassword {
        /// The account's handle.
        #[arg(long)]
        handle: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Which account, and its role.
#[derive(Args)]
pub(super) struct Account {
    /// The account's handle: a-z, 0-9 and _, 3 to 30 characters.
    #[arg(long)]
    handle: String,
    /// Its role.
    #[arg(long, default_value = "viewer", ignore_case = true)]
    role: RoleName,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    Viewer,
    Streamer,
    Moderator,
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Streamer => Self::Streamer,
            RoleName::Moderator => Self::Moderator,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(account) => account.create().await,
            Self::SetRole { handle, role, place } => {
                let store = place.store()?;
                let user = known(&store, &handle).await?;
                // Who broadcasts at this moment is refused at the next report.
                let (standing, _) = store.set_role(user.id, role.into(), &deed()).await?;
                match standing {
                    Standing::Is(_) => Ok(()),
                    Standing::Nobody => Err(nobody(&handle)),
                    Standing::NotAllowed => Err("the operator may do everything".into()),
                    Standing::LastAdmin => {
                        Err(format!("{handle} is the only admin: make somebody else one first").into())
                    }
                }
            }
            Self::SetPassword { handle, place } => {
                let (store, chance) = (place.store()?, Chance::system());
                let user = known(&store, &handle).await?;
                let password = password(&chance)?;
                let hash = Passwords::new(chance)?.hash(SecretString::from(password)).await?;
                Ok(store.set_password(user.id, &hash, &deed()).await?)
            }
        }
    }
}

impl Account {
    async fn create(self) -> Result<(), Failure> {
        if !is_handle(&self.handle) {
            return Err("--handle must be 3 to 30 characters of a-z, 0-9 and _".into());
        }
        let (store, clock, chance) = (self.place.store()?, Clock::system(), Chance::system());
        let password = password(&chance)?;
        welcome::make_user(&store, &self.handle, self.role.into(), &password, &clock, &chance).await?;
        eprintln!("The account {} is made.", self.handle);
        Ok(())
    }
}

async fn known(store: &Store, handle: &str) -> Result<User, Failure> {
    let user = store.user_by_handle(handle).await?;
    user.ok_or_else(|| nobody(handle))
}

fn nobody(handle: &str) -> Failure {
    format!("there is no user {handle}").into()
}

/// Whatever is done here is done by the operator.
fn deed() -> Deed {
    Deed::of_operator(&Clock::system(), &Chance::system())
}

/// The password that was given, or one that is made up and printed: alone on standard output, so that a script can
/// take it.
fn password(chance: &Chance) -> Result<String, Failure> {
    if let Some(given) = given_password()? {
        return Ok(given);
    }
    let made = welcome::random_password(chance);
    writeln!(std::io::stdout(), "{made}")?;
    Ok(made)
}

/// The first line of standard input, unless that is a terminal, empty, or silent.
fn given_password() -> Result<Option<String>, Failure> {
    let input = std::io::stdin();
    // A pipe that somebody inherited and nobody writes to must not be waited for for ever; one whose writer asks its own
    // user first takes a while.
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    let silent = || Ok::<_, Failure>(poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&patience))? == 0);
    if input.is_terminal() || silent()? {
        return Ok(None);
    }
    let mut text = String::new();
    input.lock().read_line(&mut text)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Ok(None),
        password if is_password(password) => Ok(Some(password.to_owned())),
        _ => Err("the password must have 8 to 200 characters".into()),
    }
}
