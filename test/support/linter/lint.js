// Lints an OpenAPI document; prints what is wrong, one line each, and ends with 1 if anything is.
// NODE_PATH says where the linter is.
const { createConfig, lint } = require('@redocly/openapi-core')

const rules = {
  // Members that a schema does not know are a matter of its own additionalProperties.
  'no-invalid-media-type-examples': { severity: 'error', allowAdditionalProperties: true },
  'no-invalid-parameter-examples': { severity: 'error', allowAdditionalProperties: true },
  'no-invalid-schema-examples': { severity: 'error', allowAdditionalProperties: true },
  'no-required-schema-properties-undefined': 'error',
  'operation-description': 'error',
  'operation-tag-defined': 'error',
  'operation-singular-tag': 'error',
  'parameter-description': 'error',
  'path-params-defined': 'error',
  'path-excludes-patterns': { severity: 'error', patterns: ['/$'] },
  'spec-strict-refs': 'error',
  'no-unused-components': 'off' // the test looks for them itself: extensions may use them too
}

async function main (path) {
  const config = await createConfig({ extends: ['recommended-strict'], rules })
  const problems = await lint({ ref: path, config })
  for (const { ruleId, message, location } of problems) {
    console.log(`${location[0]?.pointer ?? ''}: ${message} (${ruleId})`)
  }
  process.exitCode = problems.length > 0 ? 1 : 0
}

main(process.argv[2])
