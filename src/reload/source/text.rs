//! The text of a file: its tokens without comments and white space, and what kind of node each piece is.

use emmylua_parser::{
    LexerConfig, LuaLanguageLevel, LuaLexer, LuaSyntaxKind as K, LuaSyntaxNode, LuaTokenKind, Reader,
};
use xxhash_rust::xxh3::xxh3_64;

use super::NotUnderstood;

/// Operators, calls and brackets may be nested this deep. A walk recurses as deep as the tree is, and a
/// thread has 2 MiB of stack.
pub(super) const DEEPEST: u32 = 1000;

pub(super) type Node = LuaSyntaxNode;

/// The tokens that count.
pub(super) struct Text<'a> {
    text: &'a str,
    /// Where each begins and ends.
    tokens: Vec<(u32, u32)>,
    /// Their text, one after the other.
    squeezed: Vec<u8>,
    /// Where each begins in that, and the end.
    starts: Vec<u32>,
    newlines: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, NotUnderstood> {
        let config = LexerConfig::new(LuaLanguageLevel::Lua55);
        let all = LuaLexer::new(Reader::new(text), config, None).tokenize();
        let newlines = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        let mut this = Self {
            text,
            tokens: Vec::with_capacity(all.len() / 2),
            squeezed: Vec::with_capacity(text.len()),
            starts: Vec::with_capacity(all.len() / 2),
            newlines,
        };
        let mut depth = Depth::default();
        for token in all {
            use LuaTokenKind as T;
            let trivia = matches!(
                token.kind,
                T::TkWhitespace
                    | T::TkEndOfLine
                    | T::TkShortComment
                    | T::TkLongComment
                    | T::TkShebang
                    | T::TkEof
            );
            if trivia {
                continue;
            }
            let (start, end) = (token.range.start_offset, token.range.end_offset());
            if depth.take(token.kind) > DEEPEST {
                return Err(NotUnderstood::TooDeep(this.line(start)));
            }
            let (Ok(first), Ok(last), Ok(at)) =
                (u32::try_from(start), u32::try_from(end), u32::try_from(this.squeezed.len()))
            else {
                return Err(NotUnderstood::TooDeep(this.line(start)));
            };
            this.tokens.push((first, last));
            this.starts.push(at);
            this.squeezed.extend_from_slice(text.get(start..end).unwrap_or_default().as_bytes());
            this.squeezed.push(0);
        }
        this.starts.push(u32::try_from(this.squeezed.len()).unwrap_or(u32::MAX));
        Ok(this)
    }

    /// Counted from 1.
    pub(super) fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.newlines.partition_point(|&newline| newline < offset) + 1).unwrap_or(u32::MAX)
    }

    /// The line of the first token of a node.
    pub(super) fn line_of(&self, node: &Node) -> u32 {
        let (first, _) = self.span(node);
        self.line(self.tokens.get(first).map_or(0, |token| token.0 as usize))
    }

    /// The lines on which a node begins and ends.
    pub(super) fn lines_of(&self, node: &Node) -> (u32, u32) {
        let (first, last) = self.span(node);
        let line = |index: usize| self.line(self.tokens.get(index).map_or(0, |token| token.0 as usize));
        (line(first), line(last.saturating_sub(1)))
    }

    /// Where the last token of a node ends, in bytes.
    pub(super) fn end_of(&self, node: &Node) -> usize {
        let (first, last) = self.span(node);
        self.tokens.get(last.max(first + 1) - 1).map_or(0, |token| token.1 as usize)
    }

    /// Where the first token of a node ends, in bytes.
    pub(super) fn end_of_first(&self, node: &Node) -> usize {
        self.tokens.get(self.span(node).0).map_or(0, |token| token.1 as usize)
    }

    fn span(&self, node: &Node) -> (usize, usize) {
        let range = node.text_range();
        let (start, end) = (u32::from(range.start()), u32::from(range.end()));
        let first = self.tokens.partition_point(|token| token.0 < start);
        (first, self.tokens.partition_point(|token| token.0 < end).max(first))
    }

    /// The tokens of a node, as they are compared.
    pub(super) fn squeezed(&self, node: &Node) -> &[u8] {
        let (first, last) = self.span(node);
        self.squeezed_between(first, last)
    }

    fn squeezed_between(&self, first: usize, last: usize) -> &[u8] {
        let at = |index| self.starts.get(index).map_or(0, |&start| start as usize);
        self.squeezed.get(at(first)..at(last)).unwrap_or_default()
    }

    pub(super) fn fingerprint(&self, node: &Node) -> u64 {
        xxh3_64(self.squeezed(node))
    }

    /// The tokens of a node, with a word in the place of each of these nodes in it, which come in their order.
    pub(super) fn without(&self, node: &Node, others: &[Node]) -> Vec<u8> {
        let (mut at, last) = self.span(node);
        let mut rest = Vec::new();
        for (start, end) in others.iter().map(|other| self.span(other)).chain([(last, last)]) {
            rest.extend_from_slice(self.squeezed_between(at, start));
            rest.extend_from_slice(b"function\0");
            at = end;
        }
        rest
    }

    fn token(&self, index: usize) -> &'a str {
        let token = self.tokens.get(index).copied().unwrap_or_default();
        self.text.get(token.0 as usize..token.1 as usize).unwrap_or_default()
    }

    /// The text of a node's tokens.
    pub(super) fn words(&self, node: &Node) -> impl DoubleEndedIterator<Item = &'a str> + use<'a, '_> {
        let (first, last) = self.span(node);
        (first..last).map(|index| self.token(index))
    }

    pub(super) fn first(&self, node: &Node) -> &'a str {
        self.words(node).next().unwrap_or_default()
    }

    pub(super) fn last(&self, node: &Node) -> &'a str {
        self.words(node).next_back().unwrap_or_default()
    }
}

/// How deep the tree will be at a token, at most.
#[derive(Default)]
struct Depth {
    outer: Vec<u32>,
    /// Of all that is open.
    sum: u32,
    /// Of the chain that the innermost is at.
    chain: u32,
    /// Whether an expression may have ended: a name begins another statement then.
    ended: bool,
}

impl Depth {
    fn take(&mut self, kind: LuaTokenKind) -> u32 {
        use LuaTokenKind as T;
        if kind == T::TkName && self.ended {
            self.chain = 0;
        }
        self.ended = matches!(
            kind,
            T::TkName
                | T::TkInt
                | T::TkFloat
                | T::TkNil
                | T::TkTrue
                | T::TkFalse
                | T::TkDots
                | T::TkString
                | T::TkLongString
                | T::TkRightBrace
                | T::TkRightParen
                | T::TkRightBracket
                | T::TkEnd
        );
        match kind {
            T::TkLeftBrace | T::TkLeftParen | T::TkLeftBracket => {
                self.chain += 1;
                self.open();
            }
            // Several nodes each.
            T::TkFunction => {
                self.chain += 2;
                self.open();
            }
            T::TkDo | T::TkThen | T::TkRepeat => {
                self.chain = 2;
                self.open();
            }
            T::TkRightBrace | T::TkRightParen | T::TkRightBracket => self.close(),
            T::TkEnd => self.close(),
            T::TkUntil | T::TkElseIf => {
                self.close();
                self.chain = 0;
            }
            T::TkComma
            | T::TkSemicolon
            | T::TkAssign
            | T::TkLocal
            | T::TkReturn
            | T::TkIf
            | T::TkWhile
            | T::TkFor
            | T::TkElse
            | T::TkIn
            | T::TkGlobal => self.chain = 0,
            T::TkName | T::TkInt | T::TkFloat | T::TkNil | T::TkTrue | T::TkFalse | T::TkDots => {}
            // Operators, dots, and strings, which may be arguments.
            _ => self.chain += 1,
        }
        self.sum + self.chain
    }

    fn open(&mut self) {
        self.chain += 1;
        self.outer.push(self.chain);
        self.sum += self.chain;
        self.chain = 0;
    }

    fn close(&mut self) {
        self.chain = self.outer.pop().unwrap_or_default();
        self.sum = self.sum.saturating_sub(self.chain);
    }
}

pub(super) fn kind(node: &Node) -> K {
    node.kind().to_syntax()
}

/// Without the brackets around it.
pub(super) fn bare(node: &Node) -> Node {
    let mut node = node.clone();
    while kind(&node) == K::ParenExpr
        && let Some(inner) = node.first_child()
    {
        node = inner;
    }
    node
}

pub(super) fn is_call(node: &Node) -> bool {
    matches!(
        kind(node),
        K::CallExpr
            | K::RequireCallExpr
            | K::ErrorCallExpr
            | K::AssertCallExpr
            | K::TypeCallExpr
            | K::SetmetatableCallExpr
    )
}

/// The arguments of a call.
pub(super) fn arguments(call: &Node) -> impl Iterator<Item = Node> + use<> {
    call.children().filter(|child| kind(child) == K::CallArgList).flat_map(|list| list.children())
}
