/**
 * Every screen and state of the client that is checked and pictured, with what it shows; and the pages of the docs that
 * show the pictures.
 */
export const THEMES = ["light", "dark"] as const;
export const TONGUES = ["zh", "en"] as const;
export type Theme = (typeof THEMES)[number];
export type Tongue = (typeof TONGUES)[number];

export const SCREENS = {
  login: ["Log in", "登录"],
  register: ["Register: what is missing is said at its field", "注册：缺什么就在哪一栏提示"],
  reset: ["A forgotten password", "忘记密码"],
  "chats-empty": ["A new account", "新账号"],
  chats: ["Conversations: pinned, muted, draft, mention", "会话列表：置顶、免打扰、草稿、@我"],
  direct: ["A conversation of two", "单聊"],
  room: ["A room", "房间"],
  notices: ["What an app tells", "应用通知"],
  chat: ["A group", "群聊"],
  menu: ["The menu of a message", "消息菜单"],
  reply: ["A reply", "回复"],
  mention: ["Mentioning somebody", "选择提醒的人"],
  react: ["A reaction", "表情回应"],
  emoji: ["Emoji", "表情"],
  select: ["Several messages", "多选"],
  forward: ["Forwarding", "转发"],
  info: ["A group's members and settings", "群成员和设置"],
  find: ["Finding a conversation", "查找会话"],
  keys: ["All keys", "全部快捷键"],
  offline: ["Without a network", "离线"],
  requests: ["Requests", "新的朋友"],
  contacts: ["A contact", "联系人"],
  "add-friend": ["Adding somebody", "添加好友"],
  rooms: ["Rooms", "房间列表"],
  profile: ["One's profile", "个人资料"],
  look: ["Appearance", "外观"],
  notify: ["Notifications", "通知"],
  devices: ["Devices", "登录设备"],
  about: ["What this browser offers", "关于"],
  kicked: ["Logged in elsewhere", "账号在别处登录"],
  "phone-list": ["On a phone: conversations", "手机：会话列表"],
  "phone-chat": ["On a phone: a group", "手机：群聊"],
  "phone-menu": ["On a phone: the menu of a message", "手机：消息菜单"],
  "phone-contacts": ["On a phone: contacts", "手机：通讯录"],
} as const satisfies Record<string, readonly [en: string, zh: string]>;

export type Screen = keyof typeof SCREENS;

export const nameOf = (screen: Screen, theme: Theme, tongue: Tongue): string => `${screen}-${theme}-${tongue}.png`;

const HEAD: Record<Tongue, string> = {
  en: `# Screens

Every screen of the web client, light and dark. [中文](screens.zh-CN.md) · [User guide](user-guide.md)

The pictures are taken by \`npm run screens\` in \`web/\`, which also writes this page; the browser tests go through the same
screens, and look at each for contrast, roles and labels.
`,
  zh: `# 界面

网页客户端的全部界面，浅色和深色。[English](screens.md) · [使用指南](user-guide.zh-CN.md)

图片由 \`web/\` 里的 \`npm run screens\` 拍摄，本页也由它生成；浏览器测试会走遍同样的界面，并检查对比度、角色和标签。
`,
};

/** The page of the docs in one language. */
export function pageOf(tongue: Tongue): string {
  const picture = (screen: Screen, theme: Theme) =>
    `![${SCREENS[screen][tongue === "en" ? 0 : 1]}](images/web/${nameOf(screen, theme, tongue)})`;
  const sections = (Object.keys(SCREENS) as Screen[]).map(
    (screen) =>
      `## ${SCREENS[screen][tongue === "en" ? 0 : 1]}\n\n| | |\n|---|---|\n| ${picture(screen, "light")} | ${picture(screen, "dark")} |\n`,
  );
  return [HEAD[tongue], ...sections].join("\n");
}
