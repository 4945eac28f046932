//! The help of the command line in Chinese: what the commands are, and all of `skein admin`.
//!
//! **Invariant:** a command or argument of `skein admin` without a Chinese text fails a test.

use clap::Command;

/// Commands by their path, arguments behind a point. Without a last full stop, as clap shows English ones.
const TEXTS: &[(&str, &str)] = &[
    ("skein", "聊天与实时推送，全在一个程序里"),
    ("skein serve", "运行服务器：所有角色都在本进程，或只运行其中几个"),
    ("skein doctor", "检查配置、端口、时钟、磁盘、限额与邮件，并告诉你怎么办"),
    ("skein demo", "在运行中的服务器上建好两个账号和一个群，并打印如何加入"),
    ("skein push", "用 API key 向用户、房间或所有人推送消息"),
    ("skein chat", "在终端里聊天"),
    ("skein send", "发送一条消息，供脚本使用"),
    ("skein tail", "消息一来就打印，供脚本使用"),
    ("skein admin", "通过数据目录中的套接字管理运行中的服务器"),
    ("skein admin.data", "数据目录"),
    ("skein admin.json", "以 JSON 打印结果"),
    ("skein admin users", "按 uid 列出用户"),
    ("skein admin users.after", "只列出大于此 uid 的用户"),
    ("skein admin users.count", "最多列出多少个"),
    ("skein admin disable", "停用一个用户：其所有会话立即结束"),
    ("skein admin disable.user", "uid 或邮箱地址"),
    ("skein admin enable", "重新启用被停用的用户"),
    ("skein admin enable.user", "uid 或邮箱地址"),
    ("skein admin reset", "给用户一个新的随机密码，并结束其所有会话"),
    ("skein admin reset.user", "uid 或邮箱地址"),
    ("skein admin notice", "通知所有在线的人"),
    ("skein admin notice.text", "通知的内容"),
    ("skein admin notice.title", "通知的标题"),
    ("skein admin stats", "运行中进程的各项数字"),
    ("skein admin connections", "一个用户的每个连接正在做什么，不论在哪个 comet"),
    ("skein admin connections.user", "uid 或邮箱地址"),
    ("skein admin audit", "管理员做过什么，最新的在前"),
    ("skein admin audit.count", "最多列出多少条"),
    ("skein admin key", "推送 API 的 key"),
    ("skein admin key create", "创建一个 key，其密钥只显示这一次"),
    ("skein admin key create.app", "推送方应用的名称；用户看到的发送者就是它"),
    ("skein admin key create.routes", "可用于什么；默认是除 verify 以外的全部"),
    ("skein admin key create.rooms", "只限名称以此开头的房间；可重复"),
    ("skein admin key create.per_second", "每秒请求数，突发量与之相同"),
    ("skein admin key revoke", "立即作废一个 key"),
    ("skein admin key revoke.id", "key 的编号"),
    ("skein admin key list", "列出所有 key，包括已作废的"),
    ("skein admin room", "保存直播房间持久推送的聊天室"),
    ("skein admin room bind", "把直播房间的持久推送存入这个聊天室"),
    ("skein admin room bind.room", "例如 live://1000"),
    ("skein admin room bind.conversation", "聊天室的编号"),
    ("skein admin room unbind", "从现在起拒绝对该直播房间的持久推送"),
    ("skein admin room unbind.room", "例如 live://1000"),
    ("skein admin room bindings", "列出绑定"),
    ("skein admin dead-letters", "job 无法投递、在 Kafka 中搁置的记录"),
    ("skein admin dead-letters list", "显示尚未重放的记录及其原因"),
    ("skein admin dead-letters list.count", "最多显示多少条"),
    ("skein admin dead-letters replay", "把它们放回日志；本版本读不懂的会跳过"),
    ("skein admin dead-letters replay.count", "最多重放多少条"),
    ("skein admin tag", "设置用户的标签，全员推送按它找到其连接；不给标签就是清除"),
    ("skein admin tag.user", "uid 或邮箱地址"),
    ("skein admin tag.tags", "标签"),
];

/// The same command line, told in Chinese as far as [`TEXTS`] goes.
pub fn told(command: Command) -> Command {
    let path = command.get_name().to_owned();
    told_at(command, &path)
}

fn told_at(mut command: Command, path: &str) -> Command {
    if let Some(text) = text_at(path) {
        command = command.about(text);
    }
    let arguments: Vec<_> = command.get_arguments().map(|argument| argument.get_id().clone()).collect();
    for id in arguments {
        if let Some(text) = text_at(&format!("{path}.{id}")) {
            command = command.mut_arg(id, |argument| argument.help(text));
        }
    }
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    names.iter().fold(command, |command, name| command.mut_subcommand(name, |below| told_at(below, &format!("{path} {name}"))))
}

fn text_at(path: &str) -> Option<&'static str> {
    TEXTS.iter().find(|(of, _)| *of == path).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    /// Of everything below, but for what clap adds.
    fn paths(command: &Command, path: &str, into: &mut BTreeSet<String>) {
        into.insert(path.to_owned());
        into.extend(command.get_arguments().map(|argument| format!("{path}.{}", argument.get_id())));
        command.get_subcommands().for_each(|below| paths(below, &format!("{path} {}", below.get_name()), into));
    }

    #[test]
    fn every_command_and_all_of_administration_has_a_chinese_text_and_no_other() {
        let (line, mut there) = (super::super::Cli::command(), BTreeSet::new());
        paths(&line, "skein", &mut there);
        let told: BTreeSet<String> = TEXTS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(told.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "there is no such thing");
        assert!(TEXTS.iter().all(|(_, text)| !text.ends_with('。')));
        let is_wanted = |path: &&String| {
            let is_command = path.split(' ').count() <= 2 && !path.contains('.') && !path.ends_with(" docs");
            is_command || path.starts_with("skein admin")
        };
        assert_eq!(there.iter().filter(is_wanted).filter(|path| !told.contains(*path)).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn the_help_of_an_argument_is_the_chinese_one() {
        let mut line = super::told(super::super::Cli::command());
        let admin = line.find_subcommand_mut("admin").and_then(|admin| admin.find_subcommand_mut("disable")).expect("a command");
        let help = admin.render_long_help().to_string();
        assert!(help.contains("停用一个用户") && help.contains("uid 或邮箱地址"), "{help}");
    }
}
