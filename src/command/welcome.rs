//! What a first run needs: the schema, an admin, a demo channel.

use secrecy::SecretString;

use crate::ambient::{Chance, Clock};
use crate::auth::{Keyring, Passwords, Secrets, StreamKey};
use crate::config::Settings;
use crate::lifecycle::Failure;
use crate::store::{
    Channel, ChannelFilter, ChannelId, ChannelOrder, Created, Deed, Loc, NewChannel, NewUser, Page, Role,
    Store, User, UserId,
};

/// The first admin's handle, and the demo channel's owner.
const ADMIN: &str = "admin";
const DEMO: &str = "Demo";

/// What `up` tells its operator.
pub(super) struct Welcome {
    /// The admin's handle and password, until they were told once.
    pub(super) admin: Option<(String, String)>,
    /// The demo channel's stream key.
    pub(super) demo_key: String,
}

/// Runs the migrations, makes the admin and the demo channel where they are missing.
///
/// # Errors
/// When the database is away or a migration fails.
pub(super) async fn prepare(settings: &Settings) -> Result<Welcome, Failure> {
    let url = settings.database_url.clone().ok_or("there is no database to prepare")?;
    let (store, clock, chance) = (Store::new(url)?, Clock::system(), Chance::system());
    store.migrate().await?;
    let secrets = Secrets::open(&settings.data_dir, &chance)?;
    let admin = store.user_by_handle(ADMIN).await?;
    // Written down before it is used: a first run that fails half-way has told it to nobody.
    let password = match secrets.untold_password()? {
        None if admin.is_none() => Some(secrets.keep_untold(random_password(&chance))?),
        untold => untold,
    };
    let admin = match (admin, &password) {
        (Some(admin), _) => admin,
        (None, Some(password)) => make_user(&store, ADMIN, Role::Admin, password, &clock, &chance).await?,
        (None, None) => return Err("the admin has gone".into()),
    };
    let keyring = Keyring::new(&secrets, chance.clone());
    let first_run = password.is_some();
    let demo_key = match demo_channel(&store).await? {
        Some(channel) => open_key(&store, &keyring, channel.id).await?,
        None if first_run => make_demo(&store, &keyring, &admin, &clock, &chance).await?.reveal().to_owned(),
        // Its owner has deleted it.
        None => String::new(),
    };
    Ok(Welcome { admin: password.map(|password| (admin.handle, password)), demo_key })
}

/// Makes an account from the command line.
///
/// # Errors
/// When the handle is taken, or the database is away.
pub(super) async fn make_user(
    store: &Store,
    handle: &str,
    role: Role,
    password: &str,
    clock: &Clock,
    chance: &Chance,
) -> Result<User, Failure> {
    let password_hash = Passwords::new(chance.clone())?.hash(SecretString::from(password)).await?;
    let now = clock.now();
    let new = NewUser {
        id: UserId(chance.id(now)),
        handle,
        display_name: handle,
        role,
        password_hash: &password_hash,
        created_at: now,
    };
    match store.create_user(&new, &Deed::of_operator(clock, chance)).await? {
        Created::Made(user) => Ok(user),
        Created::Taken => Err(format!("the handle {handle} is taken: choose another one").into()),
    }
}

/// A password for somebody to write down: 120 bits in letters and digits.
pub(super) fn random_password(chance: &Chance) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(chance.bytes::<15>()).replace(['-', '_'], "x")
}

/// The demo channel, if it is still there.
///
/// # Errors
/// When the database is away.
pub(super) async fn demo_channel(store: &Store) -> Result<Option<Channel>, Failure> {
    let of_admin = ChannelFilter { owner: Some(ADMIN.to_owned()), ..ChannelFilter::default() };
    let oldest = Page { from_end: true, ..Page::first(1) };
    let channels = store.list_channels(&of_admin, ChannelOrder::Newest, &oldest, false).await?;
    let mut channels = channels.rows.into_iter().map(|listed| listed.channel);
    Ok(channels.find(|channel| channel.name == DEMO))
}

/// A channel's stream key.
///
/// # Errors
/// When it does not open: the data directory is not the one that the database belongs to.
pub(super) async fn open_key(
    store: &Store,
    keyring: &Keyring,
    channel: ChannelId,
) -> Result<String, Failure> {
    let sealed = store.sealed_key(channel).await?.ok_or("the channel has no stream key")?;
    Ok(keyring.open(&sealed, channel)?.reveal().to_owned())
}

async fn make_demo(
    store: &Store,
    keyring: &Keyring,
    admin: &User,
    clock: &Clock,
    chance: &Chance,
) -> Result<StreamKey, Failure> {
    let now = clock.now();
    let id = ChannelId(chance.id(now));
    let key = StreamKey::new(chance);
    let kept = keyring.seal(&key, id);
    let demo = NewChannel {
        id,
        loc: Loc(chance.opaque_id()),
        owner_id: admin.id,
        topic_id: None,
        name: DEMO,
        description: "A channel to try the site with: `make demo` broadcasts a test picture here.",
        default_stream_name: "Test picture",
        chat_enabled: true,
        record: false,
        clips_enabled: true,
        protected: false,
        key_hash: &kept.hash,
        key_sealed: &kept.sealed,
        created_at: now,
        updated_at: now,
    };
    store.create_channel(&demo, None).await?;
    Ok(key)
}
