//! The names of the prelude's fields that a reload reads and writes: as values, so that each is made once.

use crate::lua::heap::{Heap, Value};

macro_rules! names {
    ($($name:ident)*) => {
        #[derive(Debug)]
        pub(super) struct Names {
            $(pub(super) $name: Value,)*
        }

        impl Names {
            pub(super) fn new(heap: Heap<'_>) -> Self {
                Self { $($name: heap.text(stringify!($name)),)* }
            }
        }
    };
}
names! {
    accept app callback capture data default_new dispose disposed exported exports inits instances loaded locals made names
    object originals owner path prototype prototype_info prototypes records source timers variables version weak
}
