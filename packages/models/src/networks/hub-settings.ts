// What transformers writes into every config.json besides the network's own settings.

/** Settings of training, generation and labels: they change nothing about what a network computes. */
const HUB_SETTINGS = new Set([
	...[
		"architectures",
		"auto_map",
		"finetuning_task",
		"model_type",
		"name_or_path",
		"problem_type",
		"task_specific_params",
	],
	...["dtype", "torch_dtype", "torchscript", "transformers_version", "use_bfloat16", "tf_legacy_loss"],
	...["attention_dropout", "attention_probs_dropout_prob", "dropout", "drop_path_rate", "hidden_dropout_prob"],
	...["initializer_factor", "initializer_range", "layerscale_value", "logit_scale_init_value", "pruned_heads"],
	...["output_attentions", "output_hidden_states", "output_scores", "return_dict", "return_dict_in_generate"],
	...["add_cross_attention", "cross_attention_hidden_size", "is_decoder", "is_encoder_decoder", "tie_encoder_decoder"],
	...["tie_word_embeddings", "chunk_size_feed_forward", "id2label", "label2id", "tokenizer_class", "prefix"],
	...["bad_words_ids", "begin_suppress_tokens", "suppress_tokens", "decoder_start_token_id", "sep_token_id"],
	...["diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size", "no_repeat_ngram_size"],
	...["exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id", "length_penalty"],
	...["max_length", "min_length", "num_beams", "num_beam_groups", "num_return_sequences", "remove_invalid_values"],
	...["repetition_penalty", "temperature", "top_k", "top_p", "typical_p"],
	...["pooler_act", "pooler_output_size", "encoder_stride", "apply_layernorm", "reshape_hidden_states"],
	...["out_features", "out_indices", "stage_names", "text_config_dict", "vision_config_dict"],
]);

/** A configuration without them. What is no object is given back as it is, for its reader to refuse. */
export function withoutHubSettings(json: unknown): unknown {
	if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
	return Object.fromEntries(Object.entries(json).filter(([key]) => !HUB_SETTINGS.has(key)));
}
