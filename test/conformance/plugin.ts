/** The tools, resources and prompts that the suite of the protocol's conformance tests asks a server for, by name. */
import {
  type ContentBlock,
  definePlugin,
  definePrompt,
  defineResource,
  defineTool,
  Refused,
  Type,
  withContent,
} from 'qmcp/api';

const bytes = (base64: string): Uint8Array => Buffer.from(base64, 'base64');
/** An image of one red point, and a sound of nothing. */
const IMAGE = bytes(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==',
);
const SOUND = bytes('UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=');
const image: ContentBlock = { type: 'image', bytes: IMAGE, mimeType: 'image/png' };
const text = (words: string): ContentBlock => ({ type: 'text', text: words });
const Nothing = Type.Object({}, { additionalProperties: false });

/** A tool that takes nothing and shows something. */
const shows = (name: string, description: string, ...content: readonly ContentBlock[]) =>
  defineTool({
    name,
    title: name,
    description,
    effect: 'read',
    input: Nothing,
    output: Nothing,
    uses: {},
    upholds: [],
    run: async () => withContent({}, ...content),
  });

const Person = Type.Object({
  username: Type.String({ description: "User's response" }),
  email: Type.String({ description: "User's email address" }),
});
const Defaults = Type.Object({
  name: Type.String({ default: 'John Doe' }),
  age: Type.Integer({ default: 30 }),
  score: Type.Number({ default: 95.5 }),
  status: Type.Enum(['active', 'inactive', 'pending'], { type: 'string', default: 'active' }),
  verified: Type.Boolean({ default: true }),
});
const titled = [
  { const: 'value1', title: 'First Option' },
  { const: 'value2', title: 'Second Option' },
  { const: 'value3', title: 'Third Option' },
];
const options = ['option1', 'option2', 'option3'];
const Choices = Type.Object({
  untitledSingle: Type.Unsafe<string>({ type: 'string', enum: options }),
  titledSingle: Type.Unsafe<string>({ type: 'string', oneOf: titled }),
  legacyEnum: Type.Unsafe<string>({
    type: 'string',
    enum: ['opt1', 'opt2', 'opt3'],
    enumNames: ['Option One', 'Option Two', 'Option Three'],
  }),
  untitledMulti: Type.Unsafe<string[]>({ type: 'array', items: { type: 'string', enum: options } }),
  titledMulti: Type.Unsafe<string[]>({ type: 'array', items: { anyOf: titled } }),
});
const Name = Type.Object({ name: Type.String() });
const Confirmation = Type.Object({ ok: Type.Boolean() });

/** A schema with keywords that a server must pass on as they are. */
const SCHEMA_2020_12 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

/** The parts of a tool that all of these have in common. */
const asked = (name: string, given: Record<string, unknown>) => {
  const input = Object.fromEntries(Object.keys(given).map((key) => [key, Type.String()]));
  return {
    name,
    title: name,
    effect: 'read',
    input: Type.Object(input),
    output: Nothing,
    uses: {},
    upholds: [],
  } as const;
};

export default definePlugin({
  id: 'conformance',
  apiVersion: 1,
  title: 'What the conformance suite asks for',
  services: [],
  tools: [
    shows('test_simple_text', 'Answers with text.', text('This is a simple text response for testing.')),
    shows('test_image_content', 'Answers with an image.', image),
    shows('test_audio_content', 'Answers with a sound.', {
      type: 'audio',
      bytes: SOUND,
      mimeType: 'audio/wav',
    }),
    shows('test_embedded_resource', 'Answers with a resource.', {
      type: 'resource',
      uri: 'test://embedded-resource',
      mimeType: 'text/plain',
      content: { text: 'This is an embedded resource content.' },
    }),
    shows(
      'test_multiple_content_types',
      'Answers with text, an image and a resource.',
      text('Multiple content types test:'),
      image,
      {
        type: 'resource',
        uri: 'test://mixed-content-resource',
        mimeType: 'application/json',
        content: { text: JSON.stringify({ test: 'data', value: 123 }) },
      },
    ),
    defineTool({
      ...asked('test_error_handling', {}),
      description: 'Fails.',
      run: async () => {
        throw new Refused('conflict');
      },
    }),
    defineTool({
      ...asked('test_tool_with_progress', {}),
      description: 'Reports progress.',
      run: async (_ports, _input, { progress }) => {
        for (const percent of [0, 50, 100]) progress(`${percent} percent`);
        return withContent({}, text('done'));
      },
    }),
    defineTool({
      ...asked('test_elicitation', { message: '' }),
      description: 'Asks the person for a name and an address.',
      run: async (_ports, { message }, { ask }) => {
        const answer = ask('person', { message: message as string, answer: Person });
        return withContent({}, text(`User response: ${JSON.stringify(answer ?? 'declined')}`));
      },
    }),
    defineTool({
      ...asked('test_elicitation_sep1034_defaults', {}),
      description: 'Asks with default answers.',
      run: async (_ports, _input, { ask }) => {
        const answer = ask('defaults', {
          message: 'Please review and update your details',
          answer: Defaults,
        });
        return withContent({}, text(`Elicitation completed: ${JSON.stringify(answer ?? 'declined')}`));
      },
    }),
    defineTool({
      ...asked('test_elicitation_sep1330_enums', {}),
      description: 'Asks to choose among words.',
      run: async (_ports, _input, { ask }) => {
        const answer = ask('choices', { message: 'Please choose', answer: Choices });
        return withContent({}, text(`Elicitation completed: ${JSON.stringify(answer ?? 'declined')}`));
      },
    }),
    defineTool({
      ...asked('test_input_required_result_elicitation', {}),
      description: 'Asks for a name, and greets.',
      requires: ['elicitation'],
      run: async (_ports, _input, { ask }) => {
        const answer = ask('user_name', { message: 'What is your name?', answer: Name });
        return withContent({}, text(`Hello, ${answer?.name ?? 'stranger'}!`));
      },
    }),
    defineTool({
      ...asked('test_input_required_result_multi_round', {}),
      description: 'Asks twice.',
      run: async (_ports, _input, { ask }) => {
        const first = ask('step1', { message: 'Step 1: What is your name?', answer: Name });
        const Colour = Type.Object({ color: Type.String() });
        const second = ask('step2', { message: 'Step 2: What is your favorite color?', answer: Colour });
        return withContent({}, text(`${first?.name} likes ${second?.color}`));
      },
    }),
    defineTool({
      ...asked('test_input_required_result_request_state', {}),
      description: 'Asks for a confirmation.',
      run: async (_ports, _input, { ask }) => {
        const answer = ask('confirm', { message: 'Please confirm', answer: Confirmation });
        return withContent({}, text(answer?.ok ? 'state-ok' : 'declined'));
      },
    }),
    defineTool({
      ...asked('test_input_required_result_tampered_state', {}),
      description: 'Asks for a confirmation.',
      run: async (_ports, _input, { ask }) => {
        ask('confirm', { message: 'Please confirm', answer: Confirmation });
        return withContent({}, text('state-ok'));
      },
    }),
    defineTool({
      ...asked('test_input_required_result_capabilities', {}),
      description: 'Asks if the client can be asked.',
      run: async (_ports, _input, { ask, answers }) => {
        if (answers !== undefined) ask('confirm', { message: 'Please confirm', answer: Confirmation });
        return withContent({}, text('done'));
      },
    }),
    defineTool({
      ...asked('test_tool_with_logging', {}),
      description: 'Sends notices.',
      run: async (_ports, _input, { log }) => {
        for (const notice of ['Tool execution started', 'Tool processing data', 'Tool execution completed'])
          log('info', notice);
        return withContent({}, text('Tool with logging executed successfully'));
      },
    }),
    defineTool({
      ...asked('test_logging_tool', {}),
      description: 'Sends a notice.',
      run: async (_ports, _input, { log }) => {
        log('info', 'A notice');
        return withContent({}, text('Logging tool completed'));
      },
    }),
    defineTool({
      ...asked('test_streaming_elicitation', {}),
      description: 'Reports progress, then asks for a confirmation.',
      run: async (_ports, _input, { ask, progress }) => {
        progress('about to ask');
        ask('confirm', { message: 'Please confirm', answer: Confirmation });
        return withContent({}, text('done'));
      },
    }),
    defineTool({
      ...asked('json_schema_2020_12_tool', {}),
      description: 'Has a schema with many keywords.',
      input: Type.Unsafe<object>(SCHEMA_2020_12),
      run: async () => ({}),
    }),
    defineTool({
      ...asked('test_missing_capability', {}),
      description: 'Needs a client that has a model.',
      requires: ['sampling'],
      run: async () => ({}),
    }),
  ],
  resources: [
    defineResource({
      uri: 'test://static-text',
      name: 'static-text',
      title: 'Text',
      description: 'A text.',
      mimeType: 'text/plain',
      uses: {},
      read: async () => ({ text: 'This is the content of the static text resource.' }),
    }),
    defineResource({
      uri: 'test://static-binary',
      name: 'static-binary',
      title: 'Image',
      description: 'An image.',
      mimeType: 'image/png',
      uses: {},
      read: async () => ({ bytes: IMAGE }),
    }),
    defineResource({
      uri: 'test://template/{id}/data',
      name: 'template',
      title: 'Data by id',
      description: 'Data of an id.',
      mimeType: 'application/json',
      uses: {},
      read: async (_ports, { id }) => ({
        text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
      }),
    }),
    defineResource({
      uri: 'test://watched-resource',
      name: 'watched-resource',
      title: 'A resource to subscribe to',
      description: 'A resource to subscribe to.',
      mimeType: 'text/plain',
      uses: {},
      read: async () => ({ text: 'Watched resource content' }),
    }),
  ],
  prompts: [
    definePrompt({
      name: 'test_simple_prompt',
      title: 'A simple prompt',
      description: 'A prompt without arguments.',
      arguments: [],
      uses: {},
      text: () => 'This is a simple prompt for testing.',
    }),
    definePrompt({
      name: 'test_prompt_with_arguments',
      title: 'A prompt with arguments',
      description: 'A prompt with two arguments.',
      arguments: [
        {
          name: 'arg1',
          description: 'First test argument',
          required: true,
          complete: async () => ['paris', 'park', 'party'],
        },
        { name: 'arg2', description: 'Second test argument', required: true },
      ],
      uses: {},
      text: ({ arg1, arg2 }) => `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`,
    }),
    definePrompt({
      name: 'test_prompt_with_embedded_resource',
      title: 'A prompt with a resource',
      description: 'A prompt with a resource.',
      arguments: [{ name: 'resourceUri', description: 'The address of the resource', required: true }],
      uses: {},
      messages: ({ resourceUri }) => [
        {
          role: 'user',
          content: {
            type: 'resource',
            uri: resourceUri!,
            mimeType: 'text/plain',
            content: { text: 'Embedded resource content for testing.' },
          },
        },
        { role: 'user', content: text('Please process the embedded resource above.') },
      ],
    }),
    definePrompt({
      name: 'test_prompt_with_image',
      title: 'A prompt with an image',
      description: 'A prompt with an image.',
      arguments: [],
      uses: {},
      messages: () => [
        { role: 'user', content: image },
        { role: 'user', content: text('Please analyze the image above.') },
      ],
    }),
  ],
});
