"""Chat templates in the shapes that model families document, and some that do odd things."""

from __future__ import annotations

from typing import Final

CHATML: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_2: Final = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set system = false %}{% endif %}"
    "{% for message in rest %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
    "{% if loop.index0 == 0 and system != false %}"
    "{% set content = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
LLAMA_3: Final = (
    "{% for message in messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA: Final = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL: Final = (  # the system text goes into the last user turn, behind what was said before it
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}"
    "{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}"
    "{% else %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}"
    "{% if message['role'] == 'user' %}"
    "{% if loop.last and system is defined %}"
    "{{ '[INST] ' + system + '\n\n' + message['content'] + '[/INST]' }}"
    "{% else %}{{ '[INST] ' + message['content'] + '[/INST]' }}{% endif %}"
    "{% else %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}"
    "{% endfor %}"
)
PHI_3: Final = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
ZEPHYR: Final = (
    "{% for message in messages %}\n"
    "{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n' + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
    "{% endfor %}"
)
ALPACA: Final = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}"
    "{% else %}{{ '### Response:\n' + message['content'] + '\n\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)

REAL: Final[dict[str, str]] = {
    "chatml": CHATML,
    "llama_2": LLAMA_2,
    "llama_3": LLAMA_3,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "phi_3": PHI_3,
    "zephyr": ZEPHYR,
    "alpaca": ALPACA,
}
_EACH: Final = "{% for message in messages %}"
_END: Final = "{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
LAST_FIRST: Final = "{% for message in messages | reverse %}{{ message['content'] + '\n' }}" + _END
ESCAPED: Final = _EACH + "{{ message['content'] | tojson }},\n" + _END
WITHOUT_SYSTEM: Final = (
    _EACH + "{% if message['role'] != 'system' %}{{ message['content'] + '\n' }}{% endif %}" + _END
)
TWICE: Final = _EACH + "{{ message['content'] + ' = ' + message['content'] + '\n' }}" + _END

DEFEATING: Final[dict[str, str]] = {
    "upper_case": _EACH + "{{ message['content'] | upper }}\n" + _END,
    "title_case": _EACH + "{{ message['content'] | title }}\n" + _END,
    "backwards": _EACH + "{{ message['content'][::-1] }}\n" + _END,
    "cut_short": _EACH + "{{ message['content'][:9] }}\n" + _END,
    "counted": _EACH + "{{ message['content'] | length }}: {{ message['content'] }}\n" + _END,
    "words_sorted": _EACH + "{{ message['content'].split() | sort | join(' ') }}\n" + _END,
    "no_content": _EACH + "{{ message['role'] }}\n" + _END,
    "only_short": _EACH
    + "{% if message['content'] | length > 40 %}{{ raise_exception('too long') }}{% endif %}"
    + "{{ message['content'] }}\n"
    + _END,
}
