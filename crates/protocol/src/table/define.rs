//! The macro that turns the rows of the table into enums, constants and codecs. It decides nothing by itself.

macro_rules! protocol_table {
    (
        requests { $(
            $request:ident($message:ident) $constant:ident = $op:literal $name:literal
                => $reply:ident $reply_op:literal $reply_name:literal, $meaning:literal;
        )+ }
        replies { $( $variant:ident ),+ $(,)? }
        pushes { $(
            $push:ident $push_constant:ident = $push_op:literal $push_name:literal, $push_meaning:literal;
        )+ }
    ) => {
        /// Ops of the table.
        impl Op {
            $( #[doc = $meaning] pub const $constant: Op = Op($op); )+
            $( #[doc = $push_meaning] pub const $push_constant: Op = Op($push_op); )+

            /// The JSON type of a request or push with this op.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $op => Some($name), )+
                    $( $push_op => Some($push_name), )+
                    _ => None,
                }
            }
        }

        pub const REQUESTS: &[RequestRow] = &[ $( RequestRow {
            op: Op($op),
            name: $name,
            message: stringify!($message),
            reply_op: Op($reply_op),
            reply_name: $reply_name,
            reply_message: stringify!($reply),
            meaning: $meaning,
        } ),+ ];

        pub const PUSHES: &[PushRow] = &[ $( PushRow {
            op: Op($push_op),
            name: $push_name,
            message: stringify!($push),
            meaning: $push_meaning,
        } ),+ ];

        /// What a client asks.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $( #[doc = $meaning] $request(v1::$message), )+
        }

        impl Request {
            pub fn op(&self) -> Op {
                match self { $( Request::$request(_) => Op($op), )+ }
            }

            /// The JSON `type`.
            pub fn name(&self) -> &'static str {
                match self { $( Request::$request(_) => $name, )+ }
            }

            pub fn encode(&self, codec: Codec) -> Result<Bytes, EncodeError> {
                match self { $( Request::$request(message) => codec.encode(message), )+ }
            }

            pub fn decode(op: Op, codec: Codec, body: &[u8]) -> Result<Self, DecodeError> {
                match op.0 {
                    $( $op => codec.decode(body).map(Request::$request), )+
                    _ => Err(DecodeError::UnknownOp(op)),
                }
            }

            pub fn from_json_type(name: &str, payload: &[u8]) -> Result<Self, DecodeError> {
                match name {
                    $( $name => Codec::Json.decode(payload).map(Request::$request), )+
                    _ => Err(DecodeError::unknown_type(name)),
                }
            }
        }

        /// What a request is answered with.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Reply {
            $( $variant(v1::$variant), )+
        }

        impl Reply {
            /// Op and JSON type of this reply when it answers `request`; any request may be answered by an error.
            pub fn placed(&self, request: Op) -> Result<(Op, &'static str), EncodeError> {
                match (request.0, self) {
                    (_, Reply::Error(_)) => Ok((Op::ERROR, "error")),
                    $( ($op, Reply::$reply(_)) => Ok((Op($reply_op), $reply_name)), )+
                    _ => Err(EncodeError::WrongReply { request, reply: self.message_name() }),
                }
            }

            fn message_name(&self) -> &'static str {
                match self { $( Reply::$variant(_) => stringify!($variant), )+ }
            }

            /// The op and body that answer a `request`.
            pub fn encode(&self, request: Op, codec: Codec) -> Result<(Op, Bytes), EncodeError> {
                let (op, _) = self.placed(request)?;
                let body = match self { $( Reply::$variant(message) => codec.encode(message)?, )+ };
                Ok((op, body))
            }

            pub fn decode(op: Op, codec: Codec, body: &[u8]) -> Result<Self, DecodeError> {
                match op.0 {
                    100 => codec.decode(body).map(Reply::Error),
                    $( $reply_op => codec.decode(body).map(Reply::$reply), )+
                    _ => Err(DecodeError::UnknownOp(op)),
                }
            }

            pub fn from_json_type(name: &str, payload: &[u8]) -> Result<Self, DecodeError> {
                // Several requests share a type of reply ("ack"); a test checks that they mean the same message.
                #[allow(unreachable_patterns)]
                match name {
                    "error" => Codec::Json.decode(payload).map(Reply::Error),
                    $( $reply_name => Codec::Json.decode(payload).map(Reply::$reply), )+
                    _ => Err(DecodeError::unknown_type(name)),
                }
            }
        }

        $(
            impl From<v1::$variant> for Reply {
                fn from(message: v1::$variant) -> Self {
                    Reply::$variant(message)
                }
            }

            /// Gives the reply back when it is another one.
            impl TryFrom<Reply> for v1::$variant {
                type Error = Reply;

                fn try_from(reply: Reply) -> Result<Self, Reply> {
                    match reply {
                        Reply::$variant(message) => Ok(message),
                        other => Err(other),
                    }
                }
            }
        )+

        /// What a server says unasked; the seq of its frame is 0.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Push {
            $( #[doc = $push_meaning] $push(v1::$push), )+
        }

        impl Push {
            pub fn op(&self) -> Op {
                match self { $( Push::$push(_) => Op($push_op), )+ }
            }

            /// The JSON `type`.
            pub fn name(&self) -> &'static str {
                match self { $( Push::$push(_) => $push_name, )+ }
            }

            pub fn encode(&self, codec: Codec) -> Result<Bytes, EncodeError> {
                match self { $( Push::$push(message) => codec.encode(message), )+ }
            }

            pub fn decode(op: Op, codec: Codec, body: &[u8]) -> Result<Self, DecodeError> {
                match op.0 {
                    $( $push_op => codec.decode(body).map(Push::$push), )+
                    _ => Err(DecodeError::UnknownOp(op)),
                }
            }

            pub fn from_json_type(name: &str, payload: &[u8]) -> Result<Self, DecodeError> {
                match name {
                    $( $push_name => Codec::Json.decode(payload).map(Push::$push), )+
                    _ => Err(DecodeError::unknown_type(name)),
                }
            }
        }

        $(
            impl From<v1::$push> for Push {
                fn from(message: v1::$push) -> Self {
                    Push::$push(message)
                }
            }
        )+
    };
}
