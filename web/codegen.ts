import type { CodegenConfig } from '@graphql-codegen/cli'

// The types come from the SDL that the server itself prints, so a change of the API that the site
// does not follow fails its build instead of its visitors.
const config: CodegenConfig = {
  schema: '../schema.graphql',
  documents: 'src/**/*.graphql',
  generates: {
    'src/graphql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        enumsAsTypes: true,
        strictScalars: true,
        useTypeImports: true,
        scalars: { UUID: 'string', DateTime: 'string', ByteCount: 'number' },
      },
    },
  },
}

export default config
