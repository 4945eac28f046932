//! Logs in for chat, send and tail: finds the profile, takes up its session, or asks for what it takes to open one.
//!
//! Each of the three keeps a session and a history of its own per account, since one store serves one process. A
//! password is asked for once; then the session in the store is used until it ends.
//!
//! **Invariant:** a password comes from SKEIN_PASSWORD or a prompt without echo, never from an argument.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use skein_sdk::{Client, Error, Purpose};

use super::AccountArgs;
use super::intent::DISABLED;
use super::lang::Lang;

const PASSWORD: &str = "SKEIN_PASSWORD";
const ATTEMPTS_MAX: u32 = 3;
/// Between attempts to open a store that another process holds.
const IN_USE_PAUSE: Duration = Duration::from_millis(100);
const IN_USE_WAITS: u32 = 50;

/// What an account is used for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Chat,
    Send,
    Tail,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Use::Chat => "chat",
            Use::Send => "send",
            Use::Tail => "tail",
        }
    }
}

/// A client, and the folder of its profile.
pub struct Opened {
    pub client: Client,
    pub folder: PathBuf,
}

/// A client that is logged in, or was and can show what it has.
pub async fn open(args: &AccountArgs, purpose: Use) -> Result<Opened> {
    let lang = args.lang();
    let email = email(args).await?;
    let folder = profile(args, &email)?;
    let client = connect(args, &folder, purpose).await?;
    let account = client.account().await?;
    if account.as_ref().is_some_and(skein_sdk::Account::is_logged_in) {
        return Ok(Opened { client, folder });
    }
    match log_in(&client, args, lang, &email, purpose).await {
        Ok(()) => Ok(Opened { client, folder }),
        // Off line the history can still be read.
        Err(error) if account.is_some() && purpose == Use::Chat && is_network(&error) => Ok(Opened { client, folder }),
        Err(error) => Err(error),
    }
}

fn is_network(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| matches!(error, Error::Network(_) | Error::Timeout))
}

/// Opens an account and logs in.
pub async fn register(args: &AccountArgs) -> Result<Client> {
    let lang = args.lang();
    let email = email(args).await?;
    let client = connect(args, &profile(args, &email)?, Use::Chat).await?;
    create_account(&client, args, lang, &email).await?;
    Ok(client)
}

async fn email(args: &AccountArgs) -> Result<String> {
    let email = match &args.email {
        Some(email) => email.trim().to_lowercase(),
        None => ask(args.lang().pick("邮箱: ", "E-mail: ")).await?.to_lowercase(),
    };
    if email.is_empty() {
        bail!("{}", args.lang().pick("需要邮箱：--email", "an e-mail address is needed: --email"));
    }
    Ok(email)
}

/// Opens the profile. Scripts that send at the same time take turns.
async fn connect(args: &AccountArgs, folder: &Path, purpose: Use) -> Result<Client> {
    let store = folder.join(format!("{}.db", purpose.name()));
    let mut waits = if purpose == Use::Send { IN_USE_WAITS } else { 0 };
    loop {
        let mut builder = Client::builder().store(&store).name(concat!("skein/", env!("CARGO_PKG_VERSION")));
        for server in &args.server {
            builder = builder.server(server);
        }
        match builder.build().await {
            Ok(client) => return Ok(client),
            Err(Error::StoreInUse) if waits > 0 => {
                waits -= 1;
                tokio::time::sleep(IN_USE_PAUSE).await;
            }
            Err(Error::StoreInUse) => {
                return Err(anyhow::Error::new(Error::StoreInUse).context(format!("{} (--store names another)", store.display())));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// `<store>/<address>@<server>`, which only its owner reads.
fn profile(args: &AccountArgs, email: &str) -> Result<PathBuf> {
    let server = args.server.first().map_or("", String::as_str);
    let server = server.split("://").last().unwrap_or_default();
    let folder = root(args)?.join(format!("{}@{}", file_name(email), file_name(server)));
    create_private(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

fn root(args: &AccountArgs) -> Result<PathBuf> {
    if let Some(store) = &args.store {
        return Ok(store.clone());
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    Ok(data.context("no home folder: name one with --store")?.join("skein"))
}

/// No separators, no hidden files, no surprises.
fn file_name(text: &str) -> String {
    let safe = |character: char| character.is_alphanumeric() || matches!(character, '@' | '-' | '_' | '+');
    let mut name = String::new();
    for character in text.chars().take(100) {
        match character {
            '.' if !name.is_empty() => name.push('.'),
            character if safe(character) => name.push(character),
            other => name.push_str(&format!("%{:02x}", u32::from(other))),
        }
    }
    name
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

async fn log_in(client: &Client, args: &AccountArgs, lang: Lang, email: &str, purpose: Use) -> Result<()> {
    if let Some(password) = password_of_environment() {
        return match client.log_in(email, &password).await {
            Err(error) if error.code() == "disabled" && purpose == Use::Chat => bail!("{} (disabled)", lang.pick(DISABLED.0, DISABLED.1)),
            outcome => Ok(outcome.map(drop)?),
        };
    }
    if purpose != Use::Chat && !std::io::stdin().is_terminal() {
        bail!("{}", lang.pick("没有可用的登录会话：请设置 SKEIN_PASSWORD", "no session is kept here yet: set SKEIN_PASSWORD"));
    }
    for _ in 0..ATTEMPTS_MAX {
        let password = ask_hidden(lang.pick("密码（留空则注册新账号）: ", "Password (empty: open a new account): ")).await?;
        if password.is_empty() {
            return create_account(client, args, lang, email).await;
        }
        match client.log_in(email, &password).await {
            Err(error) if error.code() == "bad_credentials" => eprintln!("{}", lang.pick("邮箱或密码不对", "address or password is wrong")),
            Err(error) if error.code() == "disabled" => bail!("{} (disabled)", lang.pick(DISABLED.0, DISABLED.1)),
            outcome => return Ok(outcome.map(drop)?),
        }
    }
    bail!("bad_credentials")
}

async fn create_account(client: &Client, args: &AccountArgs, lang: Lang, email: &str) -> Result<()> {
    client.request_code(email, Purpose::Register).await?;
    let server = args.server.first().map_or("", String::as_str).trim_end_matches('/');
    eprintln!("{} {email}", lang.pick("验证码已发送到", "A code was sent to"));
    eprintln!(
        "{} {server}/dev/mailbox",
        lang.pick("（未配置邮件的开发服务器在这里显示它）", "(a development server without mail shows it at)")
    );
    let mut code = ask(lang.pick("验证码: ", "Code: ")).await?;
    let mut nickname = ask(lang.pick("昵称: ", "Nickname: ")).await?;
    let mut password = new_password(lang).await?;
    for _ in 0..ATTEMPTS_MAX {
        let error = match client.register(email, &code, &password, &nickname).await {
            Ok(_) => {
                client.log_in(email, &password).await?;
                return Ok(());
            }
            Err(error) => error,
        };
        match error.code() {
            "code_wrong" => {
                eprintln!("{}", lang.pick("验证码不对", "that is not the code"));
                code = ask(lang.pick("验证码: ", "Code: ")).await?;
            }
            "bad_nickname" => {
                eprintln!("{}", lang.pick("这个昵称不能用", "this nickname cannot be used"));
                nickname = ask(lang.pick("昵称: ", "Nickname: ")).await?;
            }
            "weak_password" if password_of_environment().is_none() => {
                eprintln!(
                    "{}",
                    lang.pick(
                        "密码须为 8–128 个字符（一个汉字算三个），且不能就是邮箱",
                        "a password has 8 to 128 characters (a Chinese one counts as three) and is not the address"
                    )
                );
                password = new_password(lang).await?;
            }
            _ => return Err(error.into()),
        }
    }
    bail!("{}", lang.pick("注册没有完成", "registration did not succeed"))
}

/// What every server demands.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=128;

async fn new_password(lang: Lang) -> Result<String> {
    if let Some(password) = password_of_environment() {
        return Ok(password);
    }
    loop {
        let password = ask_hidden(
            lang.pick("新密码（8–128 个字符，一个汉字算三个）: ", "New password (8 to 128 characters, a Chinese one counts as three): "),
        )
        .await?;
        if !PASSWORD_BYTES.contains(&password.len()) {
            eprintln!("{}", lang.pick("太短或太长", "too short, or too long"));
            continue;
        }
        if ask_hidden(lang.pick("再输入一次: ", "Once more: ")).await? == password {
            return Ok(password);
        }
        eprintln!("{}", lang.pick("两次不一样", "the two differ"));
    }
}

fn password_of_environment() -> Option<String> {
    std::env::var(PASSWORD).ok().filter(|password| !password.is_empty())
}

async fn ask(prompt: &str) -> Result<String> {
    let prompt = prompt.to_owned();
    tokio::task::spawn_blocking(move || {
        eprint!("{prompt}");
        std::io::stderr().flush().ok();
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).context("read the answer")? == 0 {
            bail!("no answer to {prompt:?}");
        }
        Ok(line.trim().to_owned())
    })
    .await?
}

/// Shows nothing of what is typed.
async fn ask_hidden(prompt: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!("no terminal to ask for a password: set {PASSWORD}");
    }
    eprint!("{prompt}");
    std::io::stderr().flush().ok();
    let typed = tokio::task::spawn_blocking(|| {
        crossterm::terminal::enable_raw_mode().context("hide what is typed")?;
        let typed = read_hidden();
        crossterm::terminal::disable_raw_mode().context("show what is typed")?;
        typed
    })
    .await?;
    eprintln!();
    typed
}

fn read_hidden() -> Result<String> {
    let mut typed = String::new();
    loop {
        let Event::Key(key) = crossterm::event::read().context("read the password")? else {
            continue;
        };
        match key.code {
            _ if key.kind == KeyEventKind::Release => {}
            KeyCode::Enter => return Ok(typed),
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => bail!("given up"),
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => typed.clear(),
            KeyCode::Backspace => drop(typed.pop()),
            KeyCode::Char(character) => typed.push(character),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_stay_in_their_folder() {
        for (text, name) in [
            ("ann@example.org", "ann@example.org"),
            ("../../etc/x", "%2e.%2f..%2fetc%2fx"),
            (".hidden", "%2ehidden"),
            ("127.0.0.1:8080", "127.0.0.1%3a8080"),
            ("小明@example.org", "小明@example.org"),
        ] {
            assert_eq!(file_name(text), name);
        }
    }
}
