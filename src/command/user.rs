//! `tally user`: accounts from the command line, the first of a site's and those of a closed one.

use std::io::{BufRead, IsTerminal, Write};

use clap::{Args, Subcommand, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Place, welcome};
use crate::ambient::{Chance, Clock};
use crate::lifecycle::Failure;
use crate::store::Role;

/// What can be done to accounts.
#[derive(Subcommand)]
pub enum Command {
    /// Makes an account. Its password is the first line of standard input; when none comes, one is made up and
    /// printed, this once.
    Create(Account),
    /// Gives an account another role.
    SetRole(Account),
}

/// Which account, and its role.
#[derive(Args)]
pub struct Account {
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
enum RoleName {
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
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(account) => account.create().await,
            Self::SetRole(account) => account.set_role().await,
        }
    }
}

impl Account {
    async fn create(self) -> Result<(), Failure> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(3..=30).contains(&self.handle.len()) || !self.handle.bytes().all(fits) {
            return Err("--handle must be 3 to 30 characters of a-z, 0-9 and _".into());
        }
        let store = self.place.store()?;
        let chance = Chance::system();
        let given = given_password()?;
        let password = given.clone().unwrap_or_else(|| welcome::random_password(&chance));
        welcome::make_user(&store, &self.handle, self.role.into(), &password, &Clock::system(), &chance)
            .await?;
        if given.is_none() {
            // Alone on standard output, so that a script can take it.
            writeln!(std::io::stdout(), "{password}")?;
        }
        eprintln!("The account {} is made.", self.handle);
        Ok(())
    }

    async fn set_role(self) -> Result<(), Failure> {
        let store = self.place.store()?;
        let user = store.user_by_handle(&self.handle).await?;
        let user = user.ok_or_else(|| format!("there is no user {}", self.handle))?;
        store.set_role(user.id, self.role.into()).await?;
        Ok(())
    }
}

/// The first line of standard input, unless that is a terminal, empty, or silent.
fn given_password() -> Result<Option<String>, Failure> {
    let input = std::io::stdin();
    // A pipe that somebody inherited and nobody writes to must not be waited for for ever.
    let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
    let silent = || Ok::<_, Failure>(poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&patience))? == 0);
    if input.is_terminal() || silent()? {
        return Ok(None);
    }
    let mut text = String::new();
    input.lock().read_line(&mut text)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Ok(None),
        password if (8..=200).contains(&password.chars().count()) => Ok(Some(password.to_owned())),
        _ => Err("the password must have 8 to 200 characters".into()),
    }
}
