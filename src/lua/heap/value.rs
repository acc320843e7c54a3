//! What a reload knows of one Lua value.

/// The types of Lua, with booleans told apart, and integers from floats, and functions of Lua from those of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::lua) enum Kind {
    Nil,
    False,
    True,
    Integer,
    Float,
    LightUserdata,
    String,
    Table,
    Function,
    CFunction,
    Userdata,
    Coroutine,
}

/// What a reload tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lua) enum Class {
    Table,
    Function,
    Coroutine,
    Other,
}

/// A value of a Lua state, as it was when it was met. The [`Heap`](super::Heap) that handed it out keeps the object
/// alive until the end of the reload. In any other heap it stands for some other value, or for nil.
#[derive(Debug, Clone, Copy)]
pub(in crate::lua) struct Value {
    pub(super) kind: Kind,
    /// Where the heap has it, if it is an object or a string.
    pub(super) slot: u32,
    /// The number, or the address of the object.
    pub(super) bits: u64,
}

impl Value {
    pub(in crate::lua) const NIL: Self = Self { kind: Kind::Nil, slot: 0, bits: 0 };
    pub(in crate::lua) const FALSE: Self = Self { kind: Kind::False, slot: 0, bits: 0 };

    pub(in crate::lua) fn of(integer: i64) -> Self {
        Self { kind: Kind::Integer, slot: 0, bits: integer.cast_unsigned() }
    }

    pub(in crate::lua) fn of_number(number: f64) -> Self {
        Self { kind: Kind::Float, slot: 0, bits: number.to_bits() }
    }

    pub(in crate::lua) fn of_boolean(boolean: bool) -> Self {
        Self { kind: if boolean { Kind::True } else { Kind::False }, slot: 0, bits: 0 }
    }

    pub(in crate::lua) fn is_nil(self) -> bool {
        self.kind == Kind::Nil
    }

    /// Neither nil nor false.
    pub(in crate::lua) fn is_true(self) -> bool {
        !matches!(self.kind, Kind::Nil | Kind::False)
    }

    pub(in crate::lua) fn is_boolean(self, boolean: bool) -> bool {
        self.is(Self::of_boolean(boolean))
    }

    /// A table, a function, a coroutine or a userdata: something that has an identity.
    pub(in crate::lua) fn is_object(self) -> bool {
        matches!(self.kind, Kind::Table | Kind::Function | Kind::CFunction | Kind::Userdata | Kind::Coroutine)
    }

    pub(in crate::lua) fn is_string(self) -> bool {
        self.kind == Kind::String
    }

    pub(in crate::lua) fn is_function(self) -> bool {
        matches!(self.kind, Kind::Function | Kind::CFunction)
    }

    /// Nothing of the user's can be in a function of C, but for what `coroutine.wrap` makes.
    pub(in crate::lua) fn is_c_function(self) -> bool {
        self.kind == Kind::CFunction
    }

    pub(in crate::lua) fn class(self) -> Class {
        match self.kind {
            Kind::Table => Class::Table,
            Kind::Function | Kind::CFunction => Class::Function,
            Kind::Coroutine => Class::Coroutine,
            _ => Class::Other,
        }
    }

    /// Itself, if it is a table.
    pub(in crate::lua) fn table(self) -> Option<Self> {
        (self.kind == Kind::Table).then_some(self)
    }

    /// Whether Lua's `type` says the same of both.
    pub(in crate::lua) fn has_type_of(self, other: Self) -> bool {
        let of = |kind| match kind {
            Kind::True => Kind::False,
            Kind::Integer => Kind::Float,
            Kind::CFunction => Kind::Function,
            Kind::LightUserdata => Kind::Userdata,
            kind => kind,
        };
        of(self.kind) == of(other.kind)
    }

    /// What tells an object from all others that are there.
    pub(in crate::lua) fn identity(self) -> usize {
        self.bits as usize
    }

    /// `None` for anything else.
    pub(in crate::lua) fn number(self) -> Option<f64> {
        match self.kind {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a literal that large is not told from its neighbours"
            )]
            Kind::Integer => Some(self.bits.cast_signed() as f64),
            Kind::Float => Some(f64::from_bits(self.bits)),
            _ => None,
        }
    }

    /// 0 for anything else.
    pub(in crate::lua) fn integer(self) -> i64 {
        if self.kind == Kind::Integer { self.bits.cast_signed() } else { 0 }
    }

    /// Whether it is the very same. Two equal strings of more than 40 bytes may be two objects, and NaN is the
    /// same as itself: see [`Heap::equal`](super::Heap::equal).
    pub(in crate::lua) fn is(self, other: Self) -> bool {
        self.kind == other.kind && self.bits == other.bits
    }

    /// What tells it from other values, but for long strings.
    pub(in crate::lua) fn bit_pattern(self) -> (Kind, u64) {
        (self.kind, self.bits)
    }
}
