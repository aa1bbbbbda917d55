//! Enums whose values have a code for programs that read logs, each in one line of a table.

/// Defines an enum by a table of its values: the variant, its code, and one more property.
///
/// The enum gets `ALL` with all values in order, `code`, a method for the property, and `Display`, which
/// writes the code.
macro_rules! coded_enum {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident: $(#[$property_attribute:meta])* $property:ident -> $type:ty {
            $($(#[doc = $doc:literal])+ $value:ident = $code:literal, $of_value:expr;)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $doc])+ $value,)+
        }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$value),+];

            /// Returns the code, which programs rely on.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$value => $code,)+
                }
            }

            $(#[$property_attribute])*
            #[must_use]
            pub fn $property(self) -> $type {
                match self {
                    $(Self::$value => $of_value,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.code())
            }
        }
    };
}

pub(crate) use coded_enum;
