export function generate(proto: string, doc: string): string;
export function fresh(): string;
