//! Statements in plain SQL that are prepared once for each connection, as everybody's are here.

/// A statement that ends before its one parameter, the type of that, and those of its columns.
macro_rules! statement {
    ($name:ident($parameter:ty: $sql_type:ty) -> $columns:ty, $sql:expr) => {
        #[derive(diesel::query_builder::QueryId)]
        struct $name($parameter);

        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                out.push_sql($sql);
                out.push_sql("(");
                out.push_bind_param::<$sql_type, _>(&self.0)?;
                out.push_sql(")");
                Ok(())
            }
        }

        impl diesel::query_builder::Query for $name {
            type SqlType = $columns;
        }
    };
}

pub(crate) use statement;
