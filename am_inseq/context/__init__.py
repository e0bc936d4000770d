"""PECoRe: which generated tokens depend on a context, and which of its tokens they depend on."""
