//! The account that everything runs as. PostgreSQL refuses to run as root, and nothing else of this should:
//! started as root, `up` hands the data directory to an ordinary account and executes itself again under that.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::hold::{LOCK, private_dir};
use crate::config::Settings;
use crate::lifecycle::Failure;

/// System accounts to run as, in this order; `script/setup` makes the first, PostgreSQL's package the second.
const ACCOUNTS: [&str; 2] = ["tally", "postgres"];

/// A line of the system's account table.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

/// Whether we were started as root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Hands over what must be handed over and executes this program again under the account. It returns only when
/// that fails.
pub(super) fn leave_root(settings: &Settings) -> Failure {
    match prepare(settings) {
        Ok(mut command) => {
            let error = command.exec();
            format!("cannot run setpriv to leave the root account ({error}): install util-linux").into()
        }
        Err(failure) => failure,
    }
}

fn prepare(settings: &Settings) -> Result<Command, Failure> {
    let account = choose(&settings.data_dir)?;
    hand_over(&settings.data_dir, &account)?;
    let media = settings.media_root();
    if !media.starts_with(&settings.data_dir) && !media.exists() {
        private_dir(&media)?;
        chown(&media, Some(account.uid), Some(account.gid))?;
    }
    let program = std::env::current_exe()?;
    let mut capabilities = Vec::new();
    let open = account.may("-x", &program)
        && account.may("-w", &settings.data_dir)
        && (!media.exists() || account.may("-w", &media));
    if !open {
        // A clone under /root, say: the account cannot pass through the directories above.
        tracing::info!(
            "the program or its data are where that account cannot reach: it keeps root's right to pass"
        );
        capabilities.push("+dac_override");
    }
    if has_privileged_port(settings) {
        capabilities.push("+net_bind_service");
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={}", account.uid)).arg(format!("--regid={}", account.gid));
    command.args(["--init-groups", "--no-new-privs"]);
    if !capabilities.is_empty() {
        let capabilities = capabilities.join(",");
        command.arg("--inh-caps").arg(&capabilities).arg("--ambient-caps").arg(&capabilities);
    }
    tracing::info!(account = account.name, "started as root: going on as an ordinary account");
    command.arg("--").arg(program).args(std::env::args_os().skip(1));
    Ok(command)
}

/// The owner of a directory that is in use already, or a system account.
fn choose(data_dir: &Path) -> Result<Account, Failure> {
    let owner = fs::metadata(data_dir)?.uid();
    if owner != 0 {
        let unknown = || format!("{} belongs to account {owner}, which does not exist", data_dir.display());
        return Account::find(&owner.to_string()).ok_or_else(|| unknown().into());
    }
    ACCOUNTS.into_iter().find_map(Account::find).ok_or_else(|| {
        "there is no account `tally` to run as instead of root: run script/setup, which makes it".into()
    })
}

/// Makes the account the owner of a data directory that is new; one that holds anything else stays untouched.
fn hand_over(data_dir: &Path, account: &Account) -> Result<(), Failure> {
    let lock = data_dir.join(LOCK);
    if fs::metadata(data_dir)?.uid() == 0 {
        let strange = fs::read_dir(data_dir)?.flatten().any(|entry| entry.file_name() != LOCK);
        if strange {
            let (dir, name) = (data_dir.display(), &account.name);
            let text = format!(
                "{dir} holds files and belongs to root: `chown -R {name} {dir}` if they are Tally's, \
                         or give another --data-dir"
            );
            return Err(text.into());
        }
        chown(data_dir, Some(account.uid), Some(account.gid))?;
    }
    // Not what a link of that name points to.
    Ok(lchown(lock, Some(account.uid), Some(account.gid))?)
}

fn has_privileged_port(settings: &Settings) -> bool {
    let first_free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok();
    let first_free: u16 = first_free.and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    let addresses = [settings.http, settings.rtmp, settings.listen, settings.internal];
    addresses.iter().any(|address| address.port() < first_free)
}

impl Account {
    /// Looks an account up by name or number.
    fn find(key: &str) -> Option<Self> {
        let output = Command::new("getent").args(["passwd", key]).stderr(Stdio::null()).output().ok()?;
        let line = String::from_utf8(output.stdout).ok()?;
        Self::parse(line.trim())
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some(Self { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    }

    /// Whether the account may do with `path` what `test` calls `what`, by asking the system as that account.
    fn may(&self, what: &str, path: &Path) -> bool {
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        let asked = Command::new("setpriv")
            .arg(format!("--reuid={}", self.uid))
            .arg(format!("--regid={}", self.gid))
            .args(["--init-groups", "--", "test", what])
            .arg(path)
            .current_dir("/")
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_its_line() {
        let account = Account::parse("tally:x:990:988:Tally:/var/lib/tally:/usr/sbin/nologin").unwrap();
        assert_eq!((account.name.as_str(), account.uid, account.gid), ("tally", 990, 988));
        assert!(Account::parse("").is_none());
    }

    #[test]
    fn the_first_account_is_root() {
        assert_eq!(Account::find("0").unwrap().name, "root");
    }
}
