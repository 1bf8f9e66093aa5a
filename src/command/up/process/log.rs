//! The files that servers log into. Strangers can make servers write, so none grows without end: one that is long is put
//! aside under one other name, in place of what was there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A log that is longer is put aside.
const LONG: u64 = 8 * 1024 * 1024;

/// Opens a log for appending, and puts it aside first when it has grown long.
pub(in super::super) fn open(path: &Path) -> io::Result<File> {
    put_aside(path)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Puts a long log aside whole, and says whether its server must open it anew: also when it is not there, whoever
/// removed it, and until the server has done so.
pub(in super::super) fn put_aside(path: &Path) -> io::Result<bool> {
    match length(path)? {
        Some(length) if length <= LONG => Ok(false),
        Some(_) => fs::rename(path, aside(path)).map(|()| true),
        None => Ok(true),
    }
}

/// Puts the end of a long log aside and empties it, for a server that appends to what it has once opened. What it writes
/// meanwhile is lost; all that is put aside is, rather than the log left to grow, when the disk has no room for it.
pub(in super::super) fn cut(path: &Path) -> io::Result<()> {
    let Some(length) = length(path)?.filter(|&length| length > LONG) else { return Ok(()) };
    let mut log = OpenOptions::new().read(true).write(true).open(path)?;
    log.seek(SeekFrom::Start(length - LONG))?;
    let kept = keep(&log, &aside(path));
    log.set_len(0)?;
    kept
}

fn keep(log: &File, aside: &Path) -> io::Result<()> {
    let mut aside = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(aside)?;
    io::copy(&mut log.take(LONG), &mut aside)?;
    Ok(())
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

fn length(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(log) => Ok(Some(log.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What is beside each other in a directory, with lengths.
    fn files(dir: &Path) -> Vec<(String, u64)> {
        let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
        let mut files: Vec<_> = entries
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        files.sort();
        files
    }

    fn grow(log: &mut File, length: u64) {
        log.write_all(&vec![b'.'; usize::try_from(length).unwrap()]).unwrap();
    }

    #[test]
    fn a_long_log_is_put_aside_under_one_name_for_a_server_that_opens_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        for more in [1, 2] {
            let mut log = open(&path).unwrap();
            grow(&mut log, LONG);
            assert!(!put_aside(&path).unwrap(), "it is not too long yet");
            grow(&mut log, more);
            assert!(put_aside(&path).unwrap());
            assert_eq!(files(dir.path()), [("server.log.1".to_owned(), LONG + more)]);
            assert!(put_aside(&path).unwrap(), "the server has not opened another yet");
        }
    }

    #[test]
    fn a_long_log_is_cut_beneath_a_server_that_appends_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let mut log = open(&path).unwrap();
        for _ in 0..2 {
            grow(&mut log, LONG);
            cut(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), LONG, "it is not too long yet");
            log.write_all(b"the end\n").unwrap();
            cut(&path).unwrap();
            assert_eq!(files(dir.path()), [("server.log".to_owned(), 0), ("server.log.1".to_owned(), LONG)]);
            assert!(fs::read(aside(&path)).unwrap().ends_with(b"...the end\n"));
        }
        log.write_all(b"more\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"more\n", "it goes on at the beginning");
    }

    #[test]
    fn a_log_is_cut_even_when_its_end_cannot_be_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        grow(&mut open(&path).unwrap(), LONG + 1);
        fs::create_dir(aside(&path)).unwrap();
        cut(&path).unwrap_err();
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }
}
